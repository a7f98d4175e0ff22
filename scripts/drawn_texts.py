"""Pictures with known words, drawn for `make benchmark-texts`: screens, receipts, signs, and so on.

The fonts are those of Debian's fonts-dejavu-core, fonts-liberation and fonts-noto-cjk.
"""

import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFilter, ImageFont

FAMILIES = (
    "DejaVu Sans",
    "DejaVu Serif",
    "DejaVu Sans Mono",
    "Liberation Sans",
    "Liberation Serif",
)
CHINESE = "Noto Sans CJK SC"
WORDS = """
account address airport apple arrival balance bakery battery bicycle bottle bread bridge butter
calendar camera candle carpet cheese chicken chocolate church coffee contract copper counter cream
customer deliver departure dentist discount doctor elevator engine entrance exit express factory
festival flight flower garden garlic glass guide hammer harbour holiday honey hospital hotel
insurance invoice island kitchen ladder laptop lemon library lobster lunch market meeting message
milk mirror monday morning museum music napkin network notice number office olive onion orange
order package paper parking passport password payment pepper pharmacy picture platform police
potato printer project railway receipt refund report restaurant river salad sandwich school season
security server service shelter shower silver station street sugar summer sunday tablet theatre
ticket tomato total tower traffic train umbrella update vegetable village visitor wallet warehouse
warning water weather wednesday weekend welcome window winter yellow
""".split()  # noqa: SIM905  # a list would fill a page
CHINESE_WORDS = """
发票 收据 合计 金额 地址 电话 日期 咖啡 牛奶 面包 苹果 米饭 出口 入口 车站 地铁
银行 医院 学校 图书馆 超市 餐厅 酒店 机场 火车 公园 博物馆 停车场 禁止吸烟 小心地滑
欢迎光临 营业时间 星期一 谢谢惠顾 数量 单价 现金 找零 会员 优惠 订单 快递 包裹 手机
电脑 密码 登录 设置 消息 天气 北京 上海 广州 深圳 杭州
""".split()  # noqa: SIM905  # a list would fill a page
HALF_LIGHT = 380  # of the sum of three channels
GROUNDS = ("white", "#f4f1e8", "#1e1e28", "#0b4f9c", "#e8c51b", "#12633a")


@dataclass(frozen=True)
class DrawnText:
    """A picture, its kind, and the words on it in lower case."""

    kind: str
    image: Image.Image
    words: list[str]


def drawn_texts(count: int, seed: int) -> Iterator[DrawnText]:
    """Pictures of all kinds in turn."""
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        draw = random.Random(f"{seed} {number}")  # noqa: S311  # not for security
        image, words = KINDS[kind](draw)
        yield DrawnText(kind, image, [word.lower() for word in words])


@cache
def _font_file(family: str) -> str:
    """Raises SystemExit if it is not installed."""
    command = ["fc-match", "-f", "%{family}\t%{file}", family]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    name, _, file = found.partition("\t")
    if family not in name:
        raise SystemExit(
            f"{family} is not installed: apt-get install fonts-dejavu-core fonts-liberation "
            "fonts-noto-cjk"
        )
    return file


def _font(family: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_font_file(family), size)


def _ink(ground: str) -> str:
    """Black on what is light, white on what is dark."""
    return "black" if sum(ImageColor.getrgb(ground)[:3]) > HALF_LIGHT else "white"


def _screen(draw: random.Random) -> tuple[Image.Image, list[str]]:
    """A screenshot: small letters of a window with a menu and paragraphs."""
    size, ground = draw.choice([(1280, 800), (1080, 1920)]), draw.choice(GROUNDS[:3])
    image, height = Image.new("RGB", size, ground), draw.randint(15, 26)
    pen, font = ImageDraw.Draw(image), _font(draw.choice(FAMILIES[:4]), height)
    words: list[str] = []
    for top in range(40, image.height - 60, height * 2):
        if draw.random() < 0.35:
            continue
        line = draw.choices(WORDS, k=draw.randint(2, 7))
        text = " ".join(line)
        if 40 + pen.textlength(text, font) < image.width:
            pen.text((40, top), text, fill=_ink(ground), font=font)
            words += line
    return image, words


def _receipt(draw: random.Random) -> tuple[Image.Image, list[str]]:
    """A narrow strip of paper with items and prices, on a table, a little askew and blurred."""
    paper = Image.new("RGB", (520, 900), "#f6f5f0")
    pen, font = ImageDraw.Draw(paper), _font("DejaVu Sans Mono", 26)
    words: list[str] = []
    for line in range(draw.randint(8, 18)):
        item, price = draw.choice(WORDS), f"{draw.randint(1, 99)}.{draw.randint(10, 99)}"
        pen.text((30, 40 + 44 * line), f"{item:<20}{price:>6}", fill="#333333", font=font)
        words += [item, price]
    paper = paper.rotate(draw.uniform(-4, 4), expand=True, fillcolor="#7a5a3c")
    table = Image.new("RGB", (1000, 1200), "#7a5a3c")
    table.paste(paper, (draw.randint(40, 380), draw.randint(20, 200)))
    return table.filter(ImageFilter.GaussianBlur(draw.uniform(0, 0.9))), words


def _sign(draw: random.Random) -> tuple[Image.Image, list[str]]:
    """A few large words on a plate, before noise."""
    noise = np.random.default_rng(draw.randrange(2**32)).integers(60, 190, (45, 60, 3), np.uint8)
    image = Image.fromarray(noise).resize((900, 675), Image.Resampling.BICUBIC)
    ground, words = draw.choice(GROUNDS), draw.sample(WORDS, draw.randint(1, 3))
    font = _font(draw.choice(FAMILIES), draw.randint(44, 80))
    pen = ImageDraw.Draw(image)
    left, top = draw.randint(30, 150), draw.randint(40, 250)
    width = max(pen.textlength(word.upper(), font) for word in words)
    plate = [left - 20, top - 20, left + width + 20, top + 100 * len(words)]
    pen.rectangle(plate, fill=ground)
    for number, word in enumerate(words):
        pen.text((left, top + 95 * number), word.upper(), fill=_ink(ground), font=font)
    return image, words


def _rotated(draw: random.Random) -> tuple[Image.Image, list[str]]:
    """A receipt or a sign on its side, upside down, or askew."""
    image, words = draw.choice([_receipt, _sign])(draw)
    angle = draw.choice([90, 180, 270, 15, -20])
    return image.rotate(angle, expand=True, fillcolor="#808080"), words


def _chinese(draw: random.Random) -> tuple[Image.Image, list[str]]:
    """Lines of Chinese, as on a receipt or a sign."""
    ground = draw.choice(GROUNDS)
    image = Image.new("RGB", (800, 700), ground)
    pen, size = ImageDraw.Draw(image), draw.randint(24, 60)
    words: list[str] = []
    for top in range(40, 640, size * 2):
        line = draw.sample(CHINESE_WORDS, draw.randint(1, 3))
        pen.text((40, top), "  ".join(line), fill=_ink(ground), font=_font(CHINESE, size))
        words += line
    return image, words


KINDS: dict[str, Callable[[random.Random], tuple[Image.Image, list[str]]]] = {
    "screen": _screen,
    "receipt": _receipt,
    "sign": _sign,
    "rotated": _rotated,
    "Chinese": _chinese,
}
