"""Which kinds of personal data there are, and what is done with each.

A finding carries a score; a kind's policy is the smallest score at which it is masked. So `context` asks
for a word near the number that says what it is (`口座番号`, `免許証`), and `mask` takes a check digit or a
shape that little else has.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import model_validator

from tsuzuri.core.config import Config

Kind = Literal[
    "my_number",
    "corporate_number",
    "invoice_number",
    "credit_card",
    "drivers_license",
    "passport",
    "residence_card",
    "pension_number",
    "employment_insurance",
    "health_insurance",
    "bank_account",
    "landline",
    "mobile",
    "service_phone",
    "m2m_phone",
    "postal_code",
    "postal_address",
    "email",
    "ip_address",
    "mac_address",
    "url_credentials",
    "birth_date",
    "age",
    "person_name",
    "handle",
    "plate",
]
Policy = Literal["keep", "context", "mask"]
Level = Literal["off", "standard", "strict"]
Mode = Literal["token", "surrogate", "drop"]

TOKENS: Mapping[Kind, str] = MappingProxyType(
    {
        "my_number": "<個人番号>",
        "corporate_number": "<法人番号>",
        "invoice_number": "<登録番号>",
        "credit_card": "<カード番号>",
        "drivers_license": "<運転免許証番号>",
        "passport": "<旅券番号>",
        "residence_card": "<在留カード番号>",
        "pension_number": "<年金番号>",
        "employment_insurance": "<雇用保険番号>",
        "health_insurance": "<保険証番号>",
        "bank_account": "<口座番号>",
        "landline": "<電話番号>",
        "mobile": "<電話番号>",
        "service_phone": "<電話番号>",
        "m2m_phone": "<電話番号>",
        "postal_code": "<郵便番号>",
        "postal_address": "<住所>",
        "email": "<メールアドレス>",
        "ip_address": "<IPアドレス>",
        "mac_address": "<MACアドレス>",
        "url_credentials": "<認証情報>",
        "birth_date": "<生年月日>",
        "age": "<年齢>",
        "person_name": "<氏名>",
        "handle": "<アカウント>",
        "plate": "<車両番号>",
    }
)
"""What stands in the text in place of a masked value."""

THRESHOLDS: Mapping[Policy, float] = MappingProxyType({"keep": 2.0, "context": 0.9, "mask": 0.5})
"""The smallest score that is masked; no score reaches that of `keep`."""

_PUBLIC: frozenset[Kind] = frozenset({"corporate_number", "service_phone", "m2m_phone"})
_STANDARD: Mapping[Kind, Policy] = MappingProxyType(
    {
        "drivers_license": "context",
        "passport": "context",
        "pension_number": "context",
        "employment_insurance": "context",
        "health_insurance": "context",
        "bank_account": "context",
        "postal_code": "context",
        "birth_date": "context",
        "age": "context",
        "person_name": "context",
        "handle": "keep",
        "plate": "keep",
    }
)


class AnonymizeConfig(Config):
    """How personal data is treated in one source: `{level: strict, mode: drop}`, or its level alone."""

    level: Level = "standard"
    """`off`; `standard`: identifiers, contacts and addresses, names only after a label such as 氏名;
    `strict`, for private text: names by honorific and reading, handles and plates too."""
    mode: Mode = "token"
    """What becomes of masked data: a typed `token` (`<電話番号>`), a `surrogate` of the same shape that is
    nobody's and the same for the same value, or `drop`: the whole document goes."""
    policies: Mapping[Kind, Policy] = {}
    """Kinds treated otherwise than their level says: `keep`, `context` (masked where a word nearby says what
    it is) or `mask`."""
    names: Literal["rules", "sudachi"] = "rules"
    """How names of persons in running prose are found, where they are masked: by what is written around them,
    or also by Sudachi's dictionary (extra `segment`), which finds most and costs a second a megabyte."""
    public_names: Path | None = None
    """A UTF-8 text file of names that stay, one a line (the titles of an encyclopaedia's biographies); under
    the corpus's `root` when it is relative."""
    key_file: Path | None = None
    """The file whose bytes are the secret key of `surrogate`; the key itself is written nowhere."""

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, value: Any) -> Any:
        if value is False:  # YAML 1.1 reads the word off as false
            value = "off"
        if isinstance(value, dict) and value.get("level") is False:
            value = {**value, "level": "off"}
        return {"level": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_key(self) -> AnonymizeConfig:
        if self.mode == "surrogate" and self.key_file is None and self.level != "off":
            raise ValueError("mode 'surrogate' needs key_file, a file of at least 16 secret bytes")
        return self

    @model_validator(mode="after")
    def _check_names(self) -> AnonymizeConfig:
        if self.names != "rules" and self.policy("person_name") != "mask":
            raise ValueError("names 'sudachi' needs level strict or policies: {person_name: mask}")
        return self

    def policy(self, kind: Kind) -> Policy:
        """What is done with a kind at this level."""
        if self.level == "off":
            return "keep"
        default: Policy = "keep" if kind in _PUBLIC else "mask"
        if self.level == "standard":
            default = _STANDARD.get(kind, default)
        return self.policies.get(kind, default)
