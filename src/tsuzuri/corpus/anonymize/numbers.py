"""Numbers that a state, an employer or a bank gave to one person, out of runs of digits.

Where a formula exists it is asked; where none exists, a word nearby must name the number. Without such a word
a tenth of all 12- and 13-digit numbers satisfies the formulas, so those must stand alone and belong to no
thing (an order, an article, an amount).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tsuzuri.corpus.anonymize import checks
from tsuzuri.corpus.anonymize.config import Kind
from tsuzuri.corpus.anonymize.context import ALONE_AFTER, ALONE_BEFORE, is_named, is_of_a_thing
from tsuzuri.corpus.anonymize.finding import CHECKED, LABELLED, SHAPED, Finding


def _alone(shape: str) -> re.Pattern[str]:
    return re.compile(f"{ALONE_BEFORE}(?:{shape}){ALONE_AFTER}")


_TWELVE = _alone(r"(?<![0-9] )[0-9]{4}([- ])[0-9]{4}\1[0-9]{4}(?!\1[0-9])|[0-9]{12}")
_THIRTEEN = _alone(r"[0-9]-?[0-9]{4}-?[0-9]{4}-?[0-9]{4}|[0-9]{13}")
_INVOICE = re.compile(rf"(?<![0-9A-Za-z])T-?[0-9]-?[0-9]{{4}}-?[0-9]{{4}}-?[0-9]{{4}}{ALONE_AFTER}")
_CARD = _alone(
    r"[0-9]{4}([- ]?)[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?"
    r"|3[0-9]{3}([- ]?)[0-9]{6}\2[0-9]{4,5}|4[0-9]{12}"
)
_TEN = _alone(r"[0-9]{4}[- ]?[0-9]{6}")
_EMPLOYMENT = _alone(r"[0-9]{4}[- ]?[0-9]{6}[- ]?[0-9]")
_SEVEN = _alone(r"[0-9]{7}")
_PASSPORT = re.compile(rf"(?<![0-9A-Za-z])(?<![0-9A-Za-z]-)[A-Z]{{2}}[0-9]{{7}}{ALONE_AFTER}")
_RESIDENCE = re.compile(rf"(?<![0-9A-Za-z])(?<![0-9A-Za-z]-)[A-Z]{{2}}[0-9]{{8}}[A-Z]{{2}}{ALONE_AFTER}")
_INSURER = _alone(r"[0-9]{6,8}")
_SYMBOL = re.compile(
    r"記号[^0-9\n]{0,4}([0-9][0-9-]{0,8})[^0-9\n]{0,8}番号[^0-9\n]{0,4}([0-9]{1,8})(?:[^0-9\n]{0,3}枝番[^0-9\n]{0,3}[0-9]{2})?"
    r"(?![0-9A-Za-z])"
)

_MY_NUMBER_WORD = re.compile(r"マイナンバー|個人番号|My ?Number", re.IGNORECASE)
_CORPORATE_WORD = re.compile(r"法人番号|法人ナンバー")
_CARD_WORD = re.compile(
    r"カード|card|visa|JCB|amex|アメックス|american express|diners|ダイナース", re.IGNORECASE
)
_LICENSE_WORD = re.compile(r"免許")
_PASSPORT_WORD = re.compile(r"旅券|パスポート|passport", re.IGNORECASE)
_RESIDENCE_WORD = re.compile(r"在留")
_PENSION_WORD = re.compile(r"年金番号|年金手帳|基礎年金")
_EMPLOYMENT_WORD = re.compile(r"雇用保険|被保険者番号")
_HEALTH_WORD = re.compile(r"健康保険|国民健康|被保険者|保険証|社会保険|共済|後期高齢|資格確認書")
_INSURER_WORD = re.compile(r"保険者番号|被保険者番号")
_ACCOUNT_WORD = re.compile(r"普通|当座|貯蓄|口座")
_BANK_WORD = re.compile(r"銀行|信用金庫|信金|信用組合|信組|農協|労働金庫|労金|バンク")
_BRANCH_WORD = re.compile(r"支店|本店|営業部|出張所|店番|支所")
_POST_WORD = re.compile(r"ゆうちょ|郵便貯金|郵貯|振込|口座|貯金|通帳")

_USUAL_CARDS = 15, 16  # lengths whose cards are many
_PAST = 2  # how far a pattern looks beyond a run
_WORD_REACH = 30
_LABEL_REACH = 16


def find_my_number(text: str, start: int, end: int) -> Iterator[Finding]:
    """Individual numbers: named as such, or with a right check digit and alone."""
    for match in _TWELVE.finditer(text, start, end + _PAST):
        if is_named(_MY_NUMBER_WORD, text, *match.span(), before=_WORD_REACH):
            yield _finding("my_number", match, "my_number.named", LABELLED)
        elif checks.is_my_number(_digits(match)) and not is_of_a_thing(text, *match.span()):
            yield _finding("my_number", match, "my_number.check", SHAPED)


def find_drivers_license(text: str, start: int, end: int) -> Iterator[Finding]:
    """Driver's licences: the word 免許 decides, the folklore digit only adds to the score."""
    for match in _TWELVE.finditer(text, start, end + _PAST):
        right = checks.is_drivers_license(_digits(match))
        if is_named(_LICENSE_WORD, text, *match.span(), before=_WORD_REACH):
            score = LABELLED + 0.01 if right else LABELLED - 0.01
            yield _finding("drivers_license", match, "drivers_license.named", score)


def find_corporate_number(text: str, start: int, end: int) -> Iterator[Finding]:
    """Corporate numbers and invoice registrations; a registration that is no corporation's is a person's."""
    begin = max(0, start - 2)
    invoices = list(_INVOICE.finditer(text, begin, end + _PAST))
    for match in invoices:
        if not checks.is_corporate_number(_digits(match)):
            yield _finding("invoice_number", match, "invoice_number.person", CHECKED)
        else:
            yield _finding("corporate_number", match, "corporate_number.invoice", LABELLED)
    if invoices:
        return
    for match in _THIRTEEN.finditer(text, start, end + _PAST):
        if not checks.is_corporate_number(_digits(match)):
            continue
        if is_named(_CORPORATE_WORD, text, *match.span(), before=_WORD_REACH):
            yield _finding("corporate_number", match, "corporate_number.named", LABELLED)
        elif not is_of_a_thing(text, *match.span()):
            yield _finding("corporate_number", match, "corporate_number.check", SHAPED)


def find_credit_card(text: str, start: int, end: int) -> Iterator[Finding]:
    """Payment cards: a network's range, its length and Luhn's digit."""
    for match in _CARD.finditer(text, start, end + _PAST):
        if not checks.is_credit_card(_digits(match)):
            continue
        if is_named(_CARD_WORD, text, *match.span(), before=_WORD_REACH, after=_LABEL_REACH):
            yield _finding("credit_card", match, "credit_card.named", LABELLED)
        elif not is_of_a_thing(text, *match.span()):
            grouped = match.end() - match.start() > len(_digits(match))
            if grouped or len(_digits(match)) in _USUAL_CARDS:
                yield _finding("credit_card", match, "credit_card.check", CHECKED if grouped else SHAPED)


def find_labelled(text: str, start: int, end: int) -> Iterator[Finding]:
    """Pension, employment insurance and insurer numbers: no public formula, so a word must name them."""
    for match in _TEN.finditer(text, start, end + _PAST):
        if is_named(_PENSION_WORD, text, *match.span(), before=_LABEL_REACH):
            yield _finding("pension_number", match, "pension_number.named", LABELLED)
    for match in _EMPLOYMENT.finditer(text, start, end + _PAST):
        if is_named(_EMPLOYMENT_WORD, text, *match.span(), before=_LABEL_REACH):
            yield _finding("employment_insurance", match, "employment_insurance.named", LABELLED)
    for match in _INSURER.finditer(text, start, end + _PAST):
        if is_named(_INSURER_WORD, text, *match.span(), before=_LABEL_REACH - 4):
            yield _finding("health_insurance", match, "health_insurance.insurer", LABELLED)


def find_bank_account(text: str, start: int, end: int) -> Iterator[Finding]:
    """Account numbers of seven digits after a bank and branch, or after the account's type."""
    for match in _SEVEN.finditer(text, start, end + _PAST):
        place = match.span()
        typed = is_named(_ACCOUNT_WORD, text, *place, before=_WORD_REACH)
        at_branch = is_named(_BANK_WORD, text, *place, before=_WORD_REACH) and is_named(
            _BRANCH_WORD, text, *place, before=_WORD_REACH
        )
        if (typed or at_branch) and not is_of_a_thing(text, *place):
            rule = "bank_account.typed" if typed else "bank_account.branch"
            yield _finding("bank_account", match, rule, LABELLED)


def find_lettered(text: str, start: int, end: int) -> Iterator[Finding]:
    """Passports (two letters, seven digits) and residence cards (two letters, eight digits, two letters)."""
    begin = max(0, start - 2)
    for match in _RESIDENCE.finditer(text, begin, end + 2 * _PAST):
        named = is_named(_RESIDENCE_WORD, text, *match.span(), before=_WORD_REACH)
        yield _finding("residence_card", match, "residence_card.shape", LABELLED if named else CHECKED)
    for match in _PASSPORT.finditer(text, begin, end + 2 * _PAST):
        named = is_named(_PASSPORT_WORD, text, *match.span(), before=_WORD_REACH)
        if named or not is_of_a_thing(text, *match.span()):
            yield _finding("passport", match, "passport.shape", LABELLED if named else SHAPED)


def find_symbol_and_number(text: str) -> Iterator[Finding]:
    """記号 and 番号 together: of a post office account, or of a health insurance card."""
    if "記号" not in text:
        return
    for match in _SYMBOL.finditer(text):
        place = match.span(1)
        if is_named(_HEALTH_WORD, text, *place, before=_WORD_REACH, after=_WORD_REACH):
            kind: Kind = "health_insurance"
        elif is_named(_POST_WORD, text, *place, before=_WORD_REACH) and len(match[1]) == 5:
            kind = "bank_account"
        else:
            continue
        yield Finding(kind, match.start(1), match.end(), f"{kind}.symbol", LABELLED)


def _finding(kind: Kind, match: re.Match[str], rule: str, score: float) -> Finding:
    return Finding(kind, match.start(), match.end(), rule, score)


def _digits(match: re.Match[str]) -> str:
    return "".join(filter(str.isdigit, match.group()))
