"""Which models are served now. A swap drops nobody: who began with the old revision ends with it.

A name is looked up and the model counted as in use in one step of the event loop, so a model is closed only
when nobody holds it. Models are loaded and closed beside the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tsuzuri.core.errors import RecipeError, closest
from tsuzuri.serving.config import ModelConfig
from tsuzuri.serving.errors import ApiError
from tsuzuri.serving.models import TextModel

Loader = Callable[[ModelConfig], TextModel]
"""The model of a configuration; blocks."""
Stamp = Callable[[ModelConfig], object]
"""What the files are like that a model is loaded from: equal until any of them changes."""

Refusal = Callable[[], ApiError]


@dataclass(slots=True)
class Mounted:
    """A model in its place, and how many requests hold it."""

    model: TextModel
    config: ModelConfig | None
    stamp: object = None
    """What the model's files were like when it was mounted."""
    refusal: Refusal | None = None
    """Why nobody may ask it yet."""
    held: int = 0
    is_retired: bool = False
    unused: asyncio.Event = field(default_factory=asyncio.Event)


class Catalog:
    """Models by name. Used on one event loop."""

    def __init__(self, load: Loader, stamp: Stamp, *, drain_s: float) -> None:
        self._load = load
        self._stamp = stamp
        self._drain_s = drain_s
        self._mounted: dict[str, Mounted] = {}
        self._settings: dict[str, ModelConfig] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._loading = asyncio.Lock()

    def __iter__(self) -> Iterator[TextModel]:
        return (mounted.model for mounted in self._mounted.values())

    @property
    def open(self) -> int:
        """Models that may be asked."""
        return sum(mounted.refusal is None for mounted in self._mounted.values())

    def mount(
        self, model: TextModel, config: ModelConfig | None = None, *, refusal: Refusal | None = None
    ) -> None:
        """Serve a model, in place of the one of its name, which is closed once nobody holds it. With a
        refusal it is listed, and whoever asks it is told so until it is mounted again without."""
        old = self._mounted.get(model.facts.name)
        stamp = self._stamp(config) if config else None
        self._mounted[model.facts.name] = Mounted(model, config, stamp, refusal)
        if config is not None:
            self._settings[model.facts.name] = config
        if old is not None:
            self._retire(old)

    def look(self, name: str) -> TextModel:
        """The model of a name; ApiError 404 where there is none."""
        return self._find(name).model

    def settings(self, name: str) -> ModelConfig | None:
        """With which engine and filters a model of that name was last served, if ever."""
        return self._settings.get(name)

    @contextmanager
    def hold(self, name: str) -> Iterator[TextModel]:
        """The model of a name, which is not closed meanwhile; ApiError: its refusal, or 404 where there is
        none."""
        mounted = self._find(name)
        if mounted.refusal is not None:
            raise mounted.refusal()
        mounted.held += 1
        try:
            yield mounted.model
        finally:
            mounted.held -= 1
            if mounted.is_retired and mounted.held == 0:
                mounted.unused.set()

    async def load(self, config: ModelConfig) -> TextModel:
        """Load a release and serve it, in place of the model of its name if there is one."""
        async with self._loading:  # one at a time: each may take the memory of a model
            model = await asyncio.to_thread(self._load, config)
            self.mount(model, config)
            return model

    def unload(self, name: str) -> None:
        """Serve a model no more; requests that hold it end as they would have."""
        mounted = self._find(name)
        del self._mounted[name]
        self._retire(mounted)

    async def follow(self, wanted: tuple[ModelConfig, ...]) -> list[str]:
        """Serve what a changed configuration asks for, and what its files now are: the names loaded (+) and
        unloaded (−). All of it, or nothing where any of it can't be loaded."""
        async with self._loading:
            kept = {name: one for name, one in self._mounted.items() if self._is_current(one, wanted)}
            served = [mounted.config for mounted in kept.values()]
            loaded: list[tuple[TextModel, ModelConfig]] = []
            try:
                for config in wanted:
                    if config not in served:
                        loaded.append((await asyncio.to_thread(self._load, config), config))
                names = [*kept, *(model.facts.name for model, _ in loaded)]
                check_names(names)
            except BaseException:
                for model, _ in loaded:
                    await model.close()
                raise
            for model, config in loaded:
                self.mount(model, config)
            gone = [name for name, one in self._mounted.items() if one.config and name not in names]
            for name in gone:
                self.unload(name)
        return [*(f"+{model.facts.name}" for model, _ in loaded), *(f"-{name}" for name in gone)]

    def _is_current(self, mounted: Mounted, wanted: tuple[ModelConfig, ...]) -> bool:
        """Whether a model stays as it is; what no configuration brought, none takes away."""
        config = mounted.config
        return config is None or (config in wanted and self._stamp(config) == mounted.stamp)

    async def close(self, *, drain_s: float = 0.0) -> None:
        """Close every model."""
        for name in list(self._mounted):
            mounted = self._mounted.pop(name)
            await mounted.model.close(drain_s=drain_s)
        await asyncio.gather(*self._retiring)

    def _find(self, name: str) -> Mounted:
        mounted = self._mounted.get(name)
        if mounted is None:
            known = f": {', '.join(self._mounted)}" if self._mounted else ""
            meant = closest(name, self._mounted) or known
            raise ApiError(
                404, "model_not_found", f"there is no model {name[:100]!r} here{meant}", param="model"
            )
        return mounted

    def _retire(self, mounted: Mounted) -> None:
        mounted.is_retired = True
        if mounted.held == 0:
            mounted.unused.set()
        task = asyncio.get_running_loop().create_task(self._close_unused(mounted))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _close_unused(self, mounted: Mounted) -> None:
        """Close a model once nobody holds it, or when its time to drain is over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(mounted.unused.wait(), self._drain_s)
        await mounted.model.close()


def check_names(names: Sequence[str]) -> None:
    """RecipeError where two models would be called alike."""
    for number, name in enumerate(names):
        if name in names[:number]:
            raise RecipeError(f"two releases are called {name!r}", hint=f"--set models.{number}.name=another")
