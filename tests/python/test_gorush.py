"""The program of docs/migrating-from-gorush.md, beside what the page itself shows."""

import re

import pytest

from conftest import ROOT


@pytest.fixture
def convert():
    text = (ROOT / "docs/migrating-from-gorush.md").read_text()
    program = re.search(r"^```python file=gorush.py\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[1]
    names = {}
    exec(compile(program, "gorush.py", "exec"), names)
    return names["convert"]


def test_an_item_without_a_topic_goes_to_the_app_of_the_caller_or_is_refused(convert):
    request = {"notifications": [{"platform": 1, "tokens": ["0c0c"], "message": "Hello"}]}
    assert list(convert(request, app="shop", environment="production")) == ["/apps/shop/production/notifications"]
    for topic in ({}, {"topic": ""}):
        with pytest.raises(ValueError, match="the item has no topic: pass app="):
            convert({"notifications": [{**request["notifications"][0], **topic}]})
