"""Whether what a model wrote stands on the transcript: invented, paraphrased, other numbers, other scripts."""

from __future__ import annotations

import pytest

from relay.domain.meetings import Item, Line
from relay.domain.support import Passages, guarded, words

TALK = """
So welcome everybody, can you all hear me well? Yes, we can hear you. Good, then let us begin with the budget.
Last year we spent 48,500 euros on the laboratory, and this year the board gives us 41,000.
That is much less than what we asked for. I know, and that is why we are sitting here.
Which of the machines can wait until spring? I think that the centrifuge can wait, it was repaired in October.
But the microscope cannot, because the students need it for their theses. Then we decide to buy the microscope now.
And the centrifuge is postponed to April. Who will ask for the offers? I will write to three suppliers on Monday.
Please ask them also about the training, which they promised us for free. Yes, that is what they promised.
The second thing is the move to the new building. The movers are coming on the 14th of March, they say.
They would take the freezers last, so that the samples stay cold. Somebody has to be there during the night.
Peter and Maria said that they would do that. Thank you both, that is very kind of you.
And who tells the neighbours? I will put up a note with the dates. Then that is everything that we have for today.
"""


def talk(text: str = TALK, times: int = 1) -> list[Line]:
    said = [
        part for line in text.strip().splitlines() for part in line.replace("? ", "?|").replace(". ", ".|").split("|")
    ]
    return [Line(n, n * 5.0, n * 5.0 + 5, one, "S1") for n, one in enumerate(said * times)]


def verdict(text: str, lines: list[Line] | None = None, cited: list[int] | None = None, title: str = "") -> str:
    kept, dropped = guarded([Item(text, list(cited or ()), title=title)], Passages.of(lines or talk()))
    assert len(kept) + dropped == 1
    return "dropped" if dropped else ("marked" if kept[0].marked else "kept")


INVENTED = (
    "The marketing department presented the results of their social media campaign, which reached a younger audience "
    "than expected. It was agreed that the newsletter would be redesigned, and that an agency should be commissioned "
    "for the illustrations."
)


@pytest.mark.parametrize("lines", [talk(), talk(times=30)], ids=["short", "long"])
def test_a_fluent_invented_chapter_is_dropped(lines):
    assert verdict(INVENTED, lines, title="Social media campaign") == "dropped"


def test_an_invented_chapter_does_not_pass_by_naming_every_line():
    everything = [line.id for line in talk()]
    assert verdict(INVENTED, cited=everything) in {"dropped", "marked"}
    assert verdict(INVENTED, cited=[10**9, -1]) == "dropped"


@pytest.mark.parametrize(
    "text",
    [
        "Decision: the microscope is bought now; buying the centrifuge was postponed until April.",
        "The students' theses need the microscope.",
        "Peter and Maria are going to stay during the night for the freezers and their samples.",
        "Three suppliers will be written to on Monday, and asked about promised trainings.",
        "The laboratory spent 48500 euros last year.",
    ],
)
def test_a_paraphrase_stays_and_tells_where_it_was_said(text):
    item = Item(text)
    kept, _ = guarded([item], Passages.of(talk()))
    assert kept
    assert not item.marked
    assert item.lines
    assert item.start == min(item.lines) * 5.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Last year 48,500 euros were spent on the laboratory.", "kept"),
        ("Last year 48.500 euros were spent on the laboratory.", "kept"),
        ("Last year 84,500 euros were spent on the laboratory.", "marked"),
        ("The movers are coming on the 14th of March.", "kept"),
        ("The movers are coming on the 24th of March.", "marked"),
        ("3 suppliers will be asked on Monday for offers.", "kept"),
    ],
)
def test_numbers_must_match_but_small_ones_may_be_said_as_words(text, expected):
    assert verdict(text) == expected


def test_words_that_everybody_says_all_the_time_support_nothing():
    lines = [Line(n, n, n + 1, f"that would have been because they which number{chr(97 + n)}") for n in range(26)]
    assert verdict("That would have been elephants because they migrate towards watering places", lines) == "dropped"


OTHERS = {
    "japanese": (
        ["では予算の話を始めましょう。", "顕微鏡は今買うことにします。", "遠心分離機は四月まで延期です。"],
        "顕微鏡をすぐに購入し、遠心分離機は四月に延期する。",
        "新しい社員食堂のメニューが発表された。",
    ),
    "chinese": (
        ["我们先谈预算。", "显微镜现在就买。", "离心机推迟到四月。", "星期一我会写信给供应商。"],
        "决定现在购买显微镜,离心机推迟到四月。",
        "市场部介绍了广告活动的结果。",
    ),
    "korean": (
        ["먼저 예산부터 이야기합시다.", "현미경은 지금 사기로 합니다.", "원심분리기는 사월로 미룹니다."],
        "현미경을 지금 구입하고 원심분리기를 사월까지 미룬다.",
        "마케팅 부서가 광고 캠페인 결과를 발표했다.",
    ),
    "thai": (
        ["เริ่มที่งบประมาณกันก่อน", "เราจะซื้อกล้องจุลทรรศน์ตอนนี้", "เครื่องหมุนเหวี่ยงเลื่อนไปเดือนเมษายน"],
        "ซื้อกล้องจุลทรรศน์ตอนนี้ และเลื่อนเครื่องหมุนเหวี่ยงไปเดือนเมษายน",
        "ฝ่ายการตลาดนำเสนอผลโฆษณา",
    ),
    "arabic": (
        ["لنبدأ بالميزانية", "سنشتري المجهر الآن", "نؤجل جهاز الطرد المركزي إلى أبريل"],
        "شراء المجهر الآن وتأجيل جهاز الطرد المركزي إلى أبريل",
        "عرض قسم التسويق نتائج الحملة الإعلانية",
    ),
    "hindi": (
        ["पहले बजट की बात करते हैं", "सूक्ष्मदर्शी अभी खरीदा जाएगा", "अपकेंद्रित्र अप्रैल तक टाल दिया गया"],
        "सूक्ष्मदर्शी अभी खरीदा जाएगा और अपकेंद्रित्र अप्रैल तक टाला गया",
        "विपणन विभाग ने विज्ञापन अभियान के परिणाम प्रस्तुत किए",
    ),
    "german": (
        ["Der Haushalt zuerst.", "Das Mikroskop kaufen wir jetzt.", "Die Zentrifuge wird auf April verschoben."],
        "Der Kauf des Mikroskops wurde beschlossen, die Zentrifuge auf April verschoben.",
        "Die Marketingabteilung zeigte Ergebnisse ihrer Werbekampagne.",
    ),
    "russian": (
        ["Начнём, бюджет.", "Микроскоп покупаем сейчас.", "Центрифугу откладываем до апреля."],
        "Решили купить микроскоп сейчас, центрифуга отложена до апреля.",
        "Отдел маркетинга показал результаты рекламной кампании.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", OTHERS)
def test_other_languages_and_scripts_keep_what_was_said_and_lose_what_was_not(language):
    said, true, invented = OTHERS[language]
    lines = [Line(n, n, n + 1, one, "S1") for n, one in enumerate(said)]
    assert verdict(true, lines) == "kept"
    assert verdict(invented, lines) == "dropped"


def test_what_is_too_short_to_be_looked_up_is_marked_and_what_is_empty_is_dropped():
    assert verdict("Go on.") == "marked"
    assert verdict("", title=" ") == "dropped"


def test_words_are_what_means_something():
    assert words("The decision: decided, 48,500 — 0007 Ana") == {"decis", "decid", "48500", "7"}
    assert words("予算") == {"予算"}
    assert words("9" * 10_000) == {"9" * 40}
