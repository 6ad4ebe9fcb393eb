"""Do words stand at the left, figures at the right, and is the page the same each time?"""

import re

import pandas as pd

from workshop.lessons import show


def test_words_are_left_and_numbers_are_not():
    frame = pd.DataFrame({"meaning": ["a & b", "c"], "n": [1.5, 0.25]}, index=pd.Index(["x", "x"], name="column"))
    page = show.prose(frame)._repr_html_()
    assert page == show.prose(frame.copy())._repr_html_()
    left = re.findall(r"th\.col(\d), #T_\w+ td\.col(\d)|th\.col(\d)", re.sub(r"#T_\w+ th", "th", page))
    assert {"".join(group)[:1] for group in left} == {"0", "1"}
    assert re.findall(r"<td[^>]*>([^<]*)</td>", page) == ["x", "a &amp; b", "1.5", "x", "c", "0.25"]
    assert repr(show.prose(frame)) == repr(frame)
