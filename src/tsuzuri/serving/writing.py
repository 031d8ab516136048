"""From the tokens of one generation to text: whole characters, up to a stop text, through the filters.

    tokens → characters (generation.streaming) → stop texts (generation.stopping) → filters → deltas

Where tokens are told, each leaves with its text: those of a stop text or of what a filter masked stay behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from tsuzuri.generation.stopping import StopFinder
from tsuzuri.generation.streaming import CharacterStream
from tsuzuri.serving.engines.base import Generation, Token, TokenEvent
from tsuzuri.serving.filters import FilteredText, Filters, Segment
from tsuzuri.serving.models import TextDelta, TextFinish, TextRequest, TextToken, Usage


class Pieces:
    """How the ids of a vocabulary are shown."""

    def __init__(self, pieces: Sequence[bytes], name_of: Callable[[int], str | None]) -> None:
        self._pieces = pieces
        self._name_of = name_of

    def piece(self, index: int) -> bytes:
        """Its bytes; none for a special piece."""
        return self._pieces[index] if index < len(self._pieces) else b""

    def shown(self, index: int) -> str:
        """Its text; a part of a character as `bytes:\\xe3`, a special piece by its name."""
        piece = self.piece(index)
        if not piece:
            return self._name_of(index) or f"<{index}>"
        try:
            return piece.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)

    def token(self, token: Token, offset: int) -> TextToken:
        """A token as it is told."""
        top = tuple((self.shown(index), self.piece(index), value) for index, value in token.top)
        return TextToken(self.shown(token.id), self.piece(token.id), offset, token.logprob, top)


class Writing:
    """One sample as it is written: `models.TextGeneration` over an engine's generation."""

    def __init__(
        self, generation: Generation, request: TextRequest, pieces: Pieces, filters: Filters, closing: int
    ) -> None:
        self.usage = Usage(prompt_tokens=len(request.prompt.ids))
        self._generation = generation
        self._request = request
        self._pieces = pieces
        self._closing = closing
        self._characters = CharacterStream()
        self._stops = StopFinder(request.sampling.stop)
        self._filter = FilteredText(filters, request.prompt.text)
        self.filtered = self._filter.counts
        self._tells = request.logprobs is not None
        self._tokens: deque[tuple[Token, int, int]] = deque()
        """Tokens not told yet, with the places in what was written where each begins and ends."""
        self._written = 0
        """Characters written, those held back included."""
        self._left = 0
        """Of these, characters that have left or been masked."""
        self._offset = 0
        """Characters of the answer that have left."""
        self._is_first = True
        """Whether the engine has told nothing yet."""
        self._ended: TextFinish | None = None
        """Why nothing more is shown, though the engine has not ended yet."""

    def cancel(self) -> None:
        """See `TextGeneration`."""
        self._generation.cancel()

    def __aiter__(self) -> Writing:
        return self

    async def __anext__(self) -> TextDelta:
        """The next part of the answer; none is empty but the last."""
        if self._is_first and self._request.echo and not self._tells and not self._offset:
            self._offset = len(self._request.prompt.text)
            if self._offset:
                return TextDelta(self._request.prompt.text)
        while True:
            delta = self._take(await anext(self._generation))
            if delta.text or delta.tokens or delta.finish:
                return delta

    def _take(self, event: TokenEvent) -> TextDelta:
        text, tokens = "", list[TextToken]()
        if self._is_first:
            self._is_first = False
            self.usage.cached_tokens = event.cached_tokens
            if self._request.echo and self._tells:
                text, tokens = self._echo(event.prompt)
        self.usage.completion_tokens += len(event.tokens)
        parts = [text]
        for token in event.tokens:
            if self._ended:
                break
            parts.append(self._write(token, tokens))
        if event.finish is None:
            return TextDelta("".join(parts), tuple(tokens))
        if self._ended is None:
            parts.append(self._leave(self._filter.push(self._stops.flush()), tokens))
        if self._ended != "content_filter":
            parts.append(self._leave(self._filter.flush(), tokens))
        finish = "content_filter" if self._filter.stopped else self._ended or event.finish
        if self._ended is None and not self._filter.stopped:  # of a character that was cut off, for example
            tokens += [self._pieces.token(token, self._offset) for token, _, _ in self._tokens]
        if self._tells and finish == "stop" and not self._stops.stopped:
            tokens.append(self._pieces.token(Token(self._closing), self._offset))
        return TextDelta("".join(parts), tuple(tokens), finish)

    def _write(self, token: Token, told: list[TextToken]) -> str:
        """What may be shown once the token is written."""
        characters = self._characters.push(self._pieces.piece(token.id))
        if self._tells:
            self._tokens.append((token, self._written, self._written + len(characters)))
        self._written += len(characters)
        shown = self._leave(self._filter.push(self._stops.push(characters)), told)
        if self._stops.stopped or self._filter.stopped:
            self._ended = "content_filter" if self._filter.stopped else "stop"
            self._generation.cancel()
        return shown

    def _leave(self, segments: Sequence[Segment], told: list[TextToken]) -> str:
        """The text of segments; their tokens are appended to `told`."""
        for segment in segments:
            end = self._left + segment.characters
            while self._tokens and self._tokens[0][1] < end and self._tokens[0][2] <= end:
                token, start, _ = self._tokens.popleft()
                if not segment.masked and start >= self._left:
                    told.append(self._pieces.token(token, self._offset + start - self._left))
            self._left = end
            self._offset += len(segment.text)
        return "".join(segment.text for segment in segments)

    def _echo(self, prompt: Sequence[Token]) -> tuple[str, list[TextToken]]:
        """The prompt and its tokens; what its bytes before each complete is the token's place."""
        characters, tokens = CharacterStream(), list[TextToken]()
        opening = self._request.prompt.opening
        if opening is not None:
            tokens.append(self._pieces.token(Token(opening), 0))
        place = 0
        for token in prompt:
            tokens.append(self._pieces.token(token, place))
            place += len(characters.push(self._pieces.piece(token.id)))
        self._offset = len(self._request.prompt.text)
        return self._request.prompt.text, tokens
