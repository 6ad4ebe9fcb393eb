"""What a notebook shows while a federation runs."""

from workshop.lessons import live


class View:
    def update(self, shown):
        self.text = shown.data


def test_a_message_is_text_and_never_markup(monkeypatch):
    view = View()
    monkeypatch.setattr(live, "display", lambda *shown, **options: view)
    live.LiveRounds().show("client-1 is left out: <img src=x onerror=alert(1)>", [])
    assert "<img" not in view.text
    assert "client-1 is left out: &lt;img src=x onerror=alert(1)&gt;" in view.text
