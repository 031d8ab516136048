"""Made-up personal data in Japanese sentences: numbers that are right, and near misses that are not.

Everything is drawn from a seed. Check digits are computed here by their published definitions (counted from
the right), not by the code that is measured. A near miss is what a shape alone would take: a wrong check
digit, a number outside its plan, an order number, a JAN code, an amount, a date that names nobody's birth.
The sentences are templates, so that figures on them say what the rules do, not how often people write so.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

FULL_WIDTH = str.maketrans(
    "0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "０１２３４５６７８９－ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺ",
)
OPENINGS = (
    "",
    "先日の件ですが、",
    "念のためお知らせします。",
    "書類を確かめたところ",
    "昨日の夕方に届いた封筒には",
    "備考：",
    "（追記）",
)
CLOSINGS = (
    "です。",
    "と書いてありました。",
    "でした",
    "まで。",
    "、以上。",
    "をご確認ください。",
    "\n次の行は別の話です。",
)


@dataclass(frozen=True)
class Example:
    """A sentence with at most one personal datum."""

    text: str
    kind: str
    """What the datum is, or what the near miss could be taken for."""
    start: int
    end: int
    """Where the datum stands; both 0 in a near miss."""


def examples(seed: int, count: int) -> Iterator[Example]:
    """So many right numbers of each kind and as many near misses, kind after kind."""
    generator = random.Random(seed)
    for kind, (right, near) in KINDS.items():
        for _ in range(count):
            yield _sentence(generator, kind, *right(generator), is_right=True)
            yield _sentence(generator, kind, *near(generator), is_right=False)


def _sentence(
    generator: random.Random, kind: str, before: str, value: str, after: str, *, is_right: bool
) -> Example:
    if kind not in ("email", "ip_address", "mac_address") and generator.random() < 0.25:
        value = value.translate(FULL_WIDTH)
    head = generator.choice(OPENINGS) + before
    text = head + value + (after or generator.choice(CLOSINGS))
    return Example(text, kind, len(head), len(head) + len(value)) if is_right else Example(text, kind, 0, 0)


Parts = tuple[str, str, str]
Maker = Callable[[random.Random], Parts]


def _digits(generator: random.Random, count: int, first: str = "0123456789") -> str:
    return generator.choice(first) + "".join(generator.choices("0123456789", k=count - 1))


def _other(generator: random.Random, digit: int) -> str:
    return str((digit + generator.randint(1, 9)) % 10)


def _grouped(generator: random.Random, digits: str, sizes: Sequence[int], marks: Sequence[str]) -> str:
    mark, groups, place = generator.choice(marks), [], 0
    for size in sizes:
        groups.append(digits[place : place + size])
        place += size
    return mark.join(groups)


def _my_number_check(base: str) -> int:
    total = sum(int(p) * (n + 1 if n <= 6 else n - 5) for n, p in enumerate(reversed(base), 1))
    return 0 if total % 11 <= 1 else 11 - total % 11


def _corporate_check(base: str) -> int:
    return 9 - sum(int(p) * (1 if n % 2 else 2) for n, p in enumerate(reversed(base), 1)) % 9


def _luhn_check(base: str) -> int:
    doubled = "".join(str(int(p) * (2 if n % 2 else 1)) for n, p in enumerate(reversed(base), 1))
    return -sum(map(int, doubled)) % 10


def _my_number(generator: random.Random) -> Parts:
    base = _digits(generator, 11)
    value = base + str(_my_number_check(base))
    label = generator.choice(
        (
            "マイナンバーは",
            "個人番号：",
            "マイナンバー（個人番号）は",
            "マイナンバー\n",
            "個人番号｜",
            "",
            "番号は",
            "本人の番号 ",
        )
    )
    return label, _grouped(generator, value, (4, 4, 4), ("", "-", " ", "−")), ""


def _no_my_number(generator: random.Random) -> Parts:
    base = _digits(generator, 11, "123456789")
    right = base + str(_my_number_check(base))
    wrong = base + _other(generator, _my_number_check(base))
    return generator.choice(
        (
            ("番号は", _grouped(generator, wrong, (4, 4, 4), ("", "-", " ")), ""),
            ("", wrong, ""),
            ("注文番号：", right, ""),
            ("お問い合わせ番号は", _grouped(generator, right, (4, 4, 4), ("-",)), ""),
            ("売上は", right, "円です。"),
            ("型番AB", right, ""),
            ("", right + _digits(generator, 3), ""),
        )
    )


def _card(generator: random.Random) -> Parts:
    prefix, length, sizes = generator.choice(
        (
            ("4", 16, (4, 4, 4, 4)),
            (str(generator.randint(51, 55)), 16, (4, 4, 4, 4)),
            (str(generator.randint(2221, 2720)), 16, (4, 4, 4, 4)),
            (str(generator.randint(3528, 3589)), 16, (4, 4, 4, 4)),
            (generator.choice(("34", "37")), 15, (4, 6, 5)),
            (generator.choice(("36", "38", "300")), 14, (4, 6, 4)),
            ("62", 16, (4, 4, 4, 4)),
        )
    )
    base = prefix + _digits(generator, length - len(prefix) - 1)
    value = base + str(_luhn_check(base))
    label = generator.choice(
        ("カード番号は", "クレジットカード：", "VISA ", "カードは", "カード\n", "お支払い方法（カード）")
    )
    if length != 14:
        label = generator.choice((label, "", "番号："))
    return label, _grouped(generator, value, sizes, ("", "-", " ")), ""


def _no_card(generator: random.Random) -> Parts:
    base = "4" + _digits(generator, 14)
    wrong = base + _other(generator, _luhn_check(base))
    foreign = generator.choice("1789") + _digits(generator, 14)
    foreign += str(_luhn_check(foreign))
    right = base + str(_luhn_check(base))
    return generator.choice(
        (
            ("カード番号は", _grouped(generator, wrong, (4, 4, 4, 4), ("", "-", " ")), ""),
            ("", _grouped(generator, foreign, (4, 4, 4, 4), ("", "-", " ")), ""),
            ("伝票番号：", right, ""),
            ("整理番号 ", right, ""),
            ("", right + "-" + _digits(generator, 4), ""),
        )
    )


def _corporate(generator: random.Random) -> Parts:
    base = _digits(generator, 12)
    value = str(_corporate_check(base)) + base
    label = generator.choice(("法人番号は", "法人番号：", "当社（法人番号"))
    return label, _grouped(generator, value, (1, 4, 4, 4), ("", "-")), "）です。" if "（" in label else ""


def _no_corporate(generator: random.Random) -> Parts:
    base = _digits(generator, 12)
    wrong = _other(generator, _corporate_check(base)) + base
    right = str(_corporate_check(base)) + base
    return generator.choice(
        (
            ("法人番号は", wrong, ""),
            ("JANコード：", right, ""),
            ("商品コード ", right, ""),
            ("", right, "個です。"),
        )
    )


def _invoice(generator: random.Random) -> Parts:
    base = _digits(generator, 12)
    wrong = _other(generator, _corporate_check(base)) + base
    label = generator.choice(("登録番号：", "適格請求書発行事業者登録番号は", "登録番号は"))
    return label, "T" + _grouped(generator, wrong, (1, 4, 4, 4), ("", "-")), ""


def _no_invoice(generator: random.Random) -> Parts:
    base = _digits(generator, 12)
    right = str(_corporate_check(base)) + base
    return generator.choice((("登録番号：", "T" + right, ""), ("型番はAT", _digits(generator, 13), "")))


def _license(generator: random.Random) -> Parts:
    label = generator.choice(("運転免許証の番号は", "免許証番号：", "免許証　第"))
    value = generator.choice(("10", "30", "44", "62", "90")) + _digits(generator, 10)
    return label, value, "号です。" if label.endswith("第") else ""


def _no_license(generator: random.Random) -> Parts:
    base = "30" + _digits(generator, 9)
    wrong = base + _other(generator, _my_number_check(base))
    return generator.choice(
        (("注文番号：", wrong, ""), ("", wrong, ""), ("運転免許は", _digits(generator, 4), "年に"))
    )


def _letters(generator: random.Random) -> str:
    return "".join(generator.choices("ABCDEFGHJKLMNPRSTUZ", k=2))


def _passport(generator: random.Random) -> Parts:
    label = generator.choice(("旅券番号は", "パスポート番号：", "パスポート（", "パスポートは"))
    return label, _letters(generator) + _digits(generator, 7), ""


def _no_passport(generator: random.Random) -> Parts:
    label = generator.choice(("型番は", "商品番号：", "部品", ""))
    return label, _letters(generator) + _digits(generator, 7), ""


def _residence(generator: random.Random) -> Parts:
    label = generator.choice(("在留カードの番号は", "在留カード：", ""))
    return label, _letters(generator) + _digits(generator, 8) + _letters(generator), ""


def _no_residence(generator: random.Random) -> Parts:
    letters = _letters(generator)
    return generator.choice(
        (
            ("型番は", letters + _digits(generator, 8), ""),
            ("", letters + _digits(generator, 7) + _letters(generator), ""),
            ("", letters + _digits(generator, 9) + _letters(generator), ""),
        )
    )


def _pension(generator: random.Random) -> Parts:
    label = generator.choice(("基礎年金番号は", "年金番号：", "年金手帳の記号番号 "))
    return label, _grouped(generator, _digits(generator, 10, "123456789"), (4, 6), ("-", "", "−")), ""


def _no_pension(generator: random.Random) -> Parts:
    label = generator.choice(("部品番号は", "受付番号：", "", "年金の話は置いて、管理番号"))
    return label, _grouped(generator, _digits(generator, 10, "123456789"), (4, 6), ("-", "")), ""


def _employment(generator: random.Random) -> Parts:
    label = generator.choice(("雇用保険被保険者番号は", "雇用保険の番号：", "雇用保険 被保険者番号 "))
    return label, _grouped(generator, _digits(generator, 11, "123456789"), (4, 6, 1), ("-", "−")), ""


def _no_employment(generator: random.Random) -> Parts:
    label = generator.choice(("部品番号は", "受付番号：", ""))
    return label, _grouped(generator, _digits(generator, 11, "123456789"), (4, 6, 1), ("-",)), ""


def _health(generator: random.Random) -> Parts:
    number = partial(_digits, generator)
    if generator.random() < 0.5:
        return generator.choice(("保険者番号は", "保険者番号：")), number(8, "0369"), ""
    middle = generator.choice((" 番号 ", "・番号", "、番号は"))
    return "健康保険証の記号", f"{number(4)}{middle}{number(generator.randint(2, 7))}", ""


def _no_health(generator: random.Random) -> Parts:
    return generator.choice(
        (
            ("図面の記号", f"{_digits(generator, 2)}と番号{_digits(generator, 3)}", ""),
            ("管理番号：", _digits(generator, 8), ""),
            ("", _digits(generator, 8), ""),
        )
    )


def _bank(generator: random.Random) -> Parts:
    bank = generator.choice(
        ("みずほ銀行渋谷支店", "三井住友銀行 本店", "城南信用金庫品川支店", "楽天銀行第一営業支店")
    )
    form = generator.choice(("{} 普通 ", "{}の普通預金口座", "{}（当座）", "口座番号：", "{} 店番123 "))
    return form.format(bank), _digits(generator, 7), generator.choice(("", " ヤマダ タロウ"))


def _no_bank(generator: random.Random) -> Parts:
    return generator.choice(
        (
            ("受付番号は", _digits(generator, 7), ""),
            ("銀行の支店で借りたのは", _digits(generator, 7, "123456789"), "円です。"),
            ("人口は", _digits(generator, 7, "123456789"), "人です。"),
            ("", _digits(generator, 7), ""),
        )
    )


AREAS = (
    ("03", 4),
    ("06", 4),
    ("011", 3),
    ("045", 3),
    ("052", 3),
    ("075", 3),
    ("092", 3),
    ("0422", 2),
    ("0463", 2),
)


def _landline(generator: random.Random) -> Parts:
    area, size = generator.choice(AREAS)
    local, last = _digits(generator, size, "35" if size == 4 else "2"), _digits(generator, 4)
    value = generator.choice(
        (
            f"{area}-{local}-{last}",
            f"({area}){local}-{last}",
            f"{area}({local}){last}",
            f"{area} {local} {last}",
            f"{area}{local}{last}",
            f"+81-{area[1:]}-{local}-{last}",
            f"{area}−{local}−{last}",
            f"{area}ー{local}ー{last}",
            f"{area}　{local}　{last}",
            f"{area}.{local}.{last}",
            f"{area}・{local}・{last}",
        )
    )
    return (
        generator.choice(("電話は", "TEL:", "連絡先：", "", "事務所は", "FAX ", "お電話（", "電話番号\n")),
        value,
        "",
    )


def _no_phone(generator: random.Random) -> Parts:
    last = _digits(generator, 4)
    return generator.choice(
        (
            ("電話は", f"03-0{_digits(generator, 3)}-{last}", ""),
            ("", f"090-0{_digits(generator, 3)}-{last}", ""),
            ("注文番号：", f"03{_digits(generator, 8, '3456')}", ""),
            (
                "",
                f"2024{generator.randint(1, 12):02}{generator.randint(1, 28):02}{_digits(generator, 6)}",
                "",
            ),
            ("全長", f"120-{last}", "メートル。"),
            ("会議は", f"2024-{generator.randint(1, 12):02}-{generator.randint(1, 28):02}", "です。"),
            ("ISBN ", f"4-{_digits(generator, 4)}-{_digits(generator, 4)}-{_digits(generator, 1)}", ""),
            ("商品番号 ", f"0{_digits(generator, 2)}-{_digits(generator, 3)}-{_digits(generator, 2)}", ""),
            ("", f"{_digits(generator, 4)}-03-{_digits(generator, 4, '34')}-{last}", ""),
        )
    )


def _mobile(generator: random.Random) -> Parts:
    head = generator.choice(("090", "080", "070", "060", "050"))
    middle, last = _digits(generator, 4, "123456789" if head != "060" else "1234"), _digits(generator, 4)
    if head == "050":
        middle = _digits(generator, 4, "13")
    value = generator.choice(
        (
            f"{head}-{middle}-{last}",
            f"{head}{middle}{last}",
            f"{head}−{middle}−{last}",
            f"+81 {head[1:]}-{middle}-{last}",
        )
    )
    return generator.choice(("携帯は", "電話：", "", "連絡先 ", "TEL")), value, ""


def _service(generator: random.Random) -> Parts:
    value = generator.choice(
        (
            f"0120-{_digits(generator, 3)}-{_digits(generator, 3)}",
            f"0120{_digits(generator, 6)}",
            f"0800-{_digits(generator, 3, '1234567')}-{_digits(generator, 4)}",
            f"0570-0{_digits(generator, 2)}-{_digits(generator, 3)}",
        )
    )
    return generator.choice(("フリーダイヤル", "受付は", "電話：")), value, ""


PLACES = (
    ("100-0005", "東京都千代田区", "丸の内"),
    ("150-0001", "東京都渋谷区", "神宮前"),
    ("530-0001", "大阪府大阪市北区", "梅田"),
    ("060-0042", "北海道札幌市中央区", "大通西"),
    ("231-0023", "神奈川県横浜市中区", "山下町"),
    ("606-8501", "京都府京都市左京区", "吉田本町"),
    ("980-0811", "宮城県仙台市青葉区", "一番町"),
    ("810-0001", "福岡市中央区", "天神"),
    ("180-0004", "武蔵野市", "吉祥寺本町"),
    ("700-0901", "岡山県岡山市北区", "本町"),
    ("920-0962", "石川県金沢市", "広坂"),
    ("900-0015", "沖縄県那覇市", "久茂地"),
    ("380-0823", "長野市", "南千歳"),
    ("690-0887", "島根県松江市", "殿町"),
    ("411-0036", "静岡県三島市", "一番町"),
    ("299-4301", "千葉県長生郡一宮町", "一宮"),
)


def _postal_code(generator: random.Random) -> Parts:
    code, city, town = generator.choice(PLACES)
    return generator.choice(("〒", "郵便番号 ", "住所は")), code, f" {city}{town}です。"


def _no_postal_code(generator: random.Random) -> Parts:
    return generator.choice(
        (
            ("全長", f"120-{_digits(generator, 4)}", "メートルです。"),
            ("定員は", f"100-{_digits(generator, 4, '123')}", "人です。"),
            ("型番", f"000-{_digits(generator, 4)}", ""),
            ("品番AB-", f"100-{_digits(generator, 4)}", ""),
        )
    )


def _address(generator: random.Random) -> Parts:
    _, city, town = generator.choice(PLACES)
    a, b, c = (str(generator.randint(1, 30)) for _ in range(3))
    one, two, three = generator.choices("一二三四五六七八九", k=3)
    block = generator.choice(
        (
            f"{a}-{b}-{c}",
            f"{a}丁目{b}番{c}号",
            f"{a}番地{b}",
            f"{a}-{b}",
            f"{a}－{b}－{c}",
            f"{one}丁目{two}番{three}号",
            f"{one}丁目{b}の{c}",
            f"{a}番{b}号 第2ハイツ{c}号室",
        )
    )
    return generator.choice(("住所は", "所在地：", "")) + city, town + block, ""


def _no_address(generator: random.Random) -> Parts:
    a, b = generator.randint(0, 9), generator.randint(0, 9)
    return generator.choice(
        (
            ("横浜市の試合は", f"{a}-{b}", "で終わりました。"),
            ("大阪市立高校が", f"{a}-{b}", "で勝った。"),
            ("渋谷区では", f"{a + 1}番目", "の問題です。"),
            ("札幌市中央区の人口は", f"{a + 1}番", "です。"),
        )
    )


def _birth(generator: random.Random) -> Parts:
    month, day = generator.randint(1, 12), generator.randint(1, 28)
    value = generator.choice(
        (
            f"{generator.randint(1930, 2015)}年{month}月{day}日",
            f"昭和{generator.randint(2, 63)}年{month}月{day}日",
            f"平成{generator.randint(2, 30)}年{month}月{day}日",
            f"{generator.randint(1930, 2015)}/{month}/{day}",
            f"{generator.randint(1930, 2015)}-{month:02}-{day:02}",
            f"S{generator.randint(2, 63)}.{month}.{day}",
            f"平成元年{month}月{day}日" if (month, day) > (1, 7) else "平成元年5月1日",
        )
    )
    if generator.random() < 0.3 and "年" in value:
        return "", value, "生まれです。"
    return (
        generator.choice(
            ("生年月日：", "生年月日は", "誕生日は", "生年月日\n", "生年月日（西暦）", "お誕生日 ")
        ),
        value,
        "",
    )


def _no_birth(generator: random.Random) -> Parts:
    month, day = generator.randint(1, 12), generator.randint(1, 28)
    return generator.choice(
        (
            ("会議は", f"{generator.randint(1990, 2024)}年{month}月{day}日", ""),
            ("生年月日は", f"1990年{month}月{generator.randint(32, 40)}日", ""),
            ("生年月日：", f"昭和{generator.randint(65, 90)}年{month}月{day}日", ""),
            ("発売日：", f"2019/{month}/{day}", ""),
        )
    )


def _ip(generator: random.Random) -> Parts:
    value = ".".join(
        [generator.choice(("8", "13", "52", "104", "133", "210"))]
        + [str(generator.randint(1, 254)) for _ in range(3)]
    )
    return (
        generator.choice(("接続元は", "IPアドレス：", "サーバー ")),
        value,
        "から" if generator.random() < 0.2 else "",
    )


def _no_ip(generator: random.Random) -> Parts:
    last = f"{generator.randint(0, 255)}.{generator.randint(1, 254)}"
    return generator.choice(
        (
            ("ルーターは", f"192.168.{last}", ""),
            ("内部は", f"10.1.{last}", ""),
            ("バージョン", f"4.2.{generator.randint(0, 9)}.{generator.randint(0, 9)}", ""),
            ("ver.", f"10.0.{last}", ""),
            ("", f"300.400.{last}", ""),
        )
    )


def _mac(generator: random.Random) -> Parts:
    pairs = [f"{generator.randint(1, 255):02X}" for _ in range(6)]
    label = generator.choice(("MACアドレスは", "MACアドレス：", "MAC "))
    return label, generator.choice((":", "-")).join(pairs), ""


def _no_mac(generator: random.Random) -> Parts:
    pairs = [f"{generator.randint(10, 59)}" for _ in range(5)]
    return generator.choice(
        (("時刻は", ":".join(pairs[:3]), ""), ("番号", "-".join(pairs), ""), ("", "FF:FF:FF:FF:FF:FF", ""))
    )


def _email(generator: random.Random) -> Parts:
    user = "".join(generator.choices("abcdefghijkmnoprstuvwy._", k=8)).strip("._") + generator.choice(
        ("", "01", "_x")
    )
    host = generator.choice(
        ("docomo.ne.jp", "gmail.com", "mail.tsukuba.ac.jp", "kaisha.co.jp", "midori.tokyo")
    )
    at = generator.choice(("@", "@", "＠", " (at) ", "［アット］", "[at]"))
    return (
        generator.choice(("連絡先は", "メール：", "")),
        f"{user}{at}{host}",
        generator.choice(("まで。", "へ", "です。", "")),
    )


def _no_email(generator: random.Random) -> Parts:
    value = generator.choice(
        ("user@example.com", "taro@example.jp", "a@b", "foo@bar.c1", "x@localhost", "root@host.zzzz")
    )
    return generator.choice(("例えば", "書式は")), value, "のように"


KINDS: dict[str, tuple[Maker, Maker]] = {
    "my_number": (_my_number, _no_my_number),
    "credit_card": (_card, _no_card),
    "corporate_number": (_corporate, _no_corporate),
    "invoice_number": (_invoice, _no_invoice),
    "drivers_license": (_license, _no_license),
    "passport": (_passport, _no_passport),
    "residence_card": (_residence, _no_residence),
    "pension_number": (_pension, _no_pension),
    "employment_insurance": (_employment, _no_employment),
    "health_insurance": (_health, _no_health),
    "bank_account": (_bank, _no_bank),
    "landline": (_landline, _no_phone),
    "mobile": (_mobile, _no_phone),
    "service_phone": (_service, _no_phone),
    "postal_code": (_postal_code, _no_postal_code),
    "postal_address": (_address, _no_address),
    "birth_date": (_birth, _no_birth),
    "ip_address": (_ip, _no_ip),
    "mac_address": (_mac, _no_mac),
    "email": (_email, _no_email),
}
"""Every measured kind, with what makes a right one and a near miss."""
