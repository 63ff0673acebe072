"""Draws the dashboard as SVG from the data of a Prometheus: python config/grafana/draw.py URL MINUTES FILE

A picture for people without a Grafana at hand: the panels, places and queries are those of crawlerd.json, the looks are
its own.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from html import escape
from pathlib import Path
from typing import Any

import requests

COLUMN, LINE, GAP = 54, 30, 6  # pixels of Grafana's grid, and between panels
COLORS = ("#7eb26d", "#eab839", "#6ed0e0", "#ef843c", "#e24d42", "#1f78c1", "#ba43a9", "#705da0", "#508642", "#cca300")
MOST = 8  # series that a panel names
POINTS = 120
INK, FAINT, PAPER, PANEL = "#d8d9da", "#8e8e8e", "#111217", "#181b1f"
UNITS = {"bytes": (1024, "B"), "Bps": (1024, "B/s"), "short": (1000, ""), "ops": (1000, "/s"), "reqps": (1000, "/s")}


class Drawing:
    """url: of Prometheus. start, end: Unix seconds."""

    def __init__(self, url: str, start: float, end: float) -> None:
        self._url, self._start, self._end = url.rstrip("/"), start, end
        self._step = max(1.0, (end - start) / POINTS)

    def picture(self, dashboard: dict[str, Any]) -> str:
        panels = dashboard["panels"]
        height = max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in panels) * LINE
        width = 24 * COLUMN
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
            f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        ]
        for panel in panels:
            place = panel["gridPos"]
            x, y, w, h = place["x"] * COLUMN, place["y"] * LINE, place["w"] * COLUMN - GAP, place["h"] * LINE - GAP
            parts.append(f'<g transform="translate({x},{y})">')
            if panel["type"] == "row":
                parts.append(text(4, 19, panel["title"], size=16))
            else:
                parts.append(f'<rect width="{w}" height="{h}" fill="{PANEL}" rx="3"/>')
                parts.append(text(8, 18, panel["title"], size=13))
                parts += getattr(self, f"_{panel['type']}")(panel, w, h)
            parts.append("</g>")
        return "\n".join([*parts, "</svg>"]) + "\n"

    def _ask(self, path: str, expr: str, **more: Any) -> list[dict[str, Any]]:
        interval = f"{max(4, round(4 * self._step))}s"
        for name, value in {"$job": ".+", "$instance": ".+", "$__rate_interval": interval}.items():
            expr = expr.replace(name, value)
        answer = requests.get(f"{self._url}/api/v1/{path}", {"query": expr, **more}, timeout=30)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def _now(self, panel: dict[str, Any]) -> list[tuple[str, dict[str, str], float]]:
        """Legend, labels and value of each series."""
        found = [
            (legend(target, each["metric"]), each["metric"], float(each["value"][1]))
            for target in panel["targets"]
            for each in self._ask("query", target["expr"], time=self._end)
        ]
        return [each for each in found if math.isfinite(each[2])]

    def _stat(self, panel: dict[str, Any], w: int, h: int) -> list[str]:
        found = self._now(panel)
        across = w / max(1, len(found))
        return [
            part
            for place, (name, _, value) in enumerate(found)
            for part in (
                text(place * across + 8, h / 2 + 20, shown(value, unit(panel)), size=22, color=color(panel, value)),
                text(place * across + 8, h - 14, name if len(found) > 1 else "", size=11, color=FAINT),
            )
        ]

    def _bargauge(self, panel: dict[str, Any], w: int, h: int) -> list[str]:
        found = sorted(self._now(panel), key=lambda each: -each[2])[:MOST]
        most = panel["fieldConfig"]["defaults"].get("max") or max((value for *_, value in found), default=1) or 1
        parts = []
        for place, (name, _, value) in enumerate(found):
            y = 30 + place * (h - 34) / MOST
            wide = (w - 230) * min(1.0, value / most)
            parts.append(text(8, y + 14, name, size=11))
            parts.append(f'<rect x="150" y="{y:.0f}" width="{wide:.0f}" height="18" fill="{color(panel, value)}"/>')
            parts.append(text(156 + wide, y + 14, shown(value, unit(panel)), size=11))
        return parts

    def _table(self, panel: dict[str, Any], w: int, h: int) -> list[str]:
        names = panel["transformations"][1]["options"]["include"]["names"]
        titles = panel["transformations"][2]["options"]["renameByName"]
        rows: dict[str, dict[str, str]] = {}
        for target in panel["targets"]:
            for each in self._ask("query", target["expr"], time=self._end):
                labels, value = each["metric"], float(each["value"][1])
                row = rows.setdefault(labels[names[0]], dict(labels))
                kind = "short" if target["legendFormat"] == "tasks left" else unit(panel)
                row[f"Value #{target['refId']}"] = shown(value, kind)
        first = 130  # pixels of the column that names the thing
        places = [8, *(8 + first + number * (w - 8 - first) / (len(names) - 1) for number in range(len(names) - 1))]
        parts = [
            text(x, 40, titles.get(name, name), size=11, color=FAINT) for x, name in zip(places, names, strict=True)
        ]
        for line, row in enumerate(list(rows.values())[:MOST]):
            parts += [
                text(x, 62 + line * 20, row.get(name, ""), size=12) for x, name in zip(places, names, strict=True)
            ]
        return parts

    def _timeseries(self, panel: dict[str, Any], w: int, h: int) -> list[str]:
        dashed = {
            override["matcher"]["options"]
            for override in panel["fieldConfig"]["overrides"]
            if override["matcher"]["id"] == "byFrameRefID"
        }
        lines = []
        for target in panel["targets"]:
            for each in self._ask("query_range", target["expr"], start=self._start, end=self._end, step=self._step):
                points = {float(at): number for at, value in each["values"] if math.isfinite(number := float(value))}
                if points:
                    lines.append((legend(target, each["metric"]), points, target["refId"] in dashed))
        lines.sort(key=lambda each: -max(each[1].values()))
        stacked = panel["fieldConfig"]["defaults"].get("custom", {}).get("stacking", {}).get("mode") == "normal"
        if stacked:
            below: dict[float, float] = {}
            for _, points, _ in lines:
                for at in points:
                    below[at] = points[at] = points[at] + below.get(at, 0.0)
        most = (
            panel["fieldConfig"]["defaults"].get("max") or max((max(p.values()) for _, p, _ in lines), default=1) or 1
        )
        left, top, wide, high = 64, 28, w - 74, h - 28 - 62
        parts = []
        for part in (0, 0.5, 1):
            y = top + high * (1 - part)
            parts.append(f'<path d="M{left},{y:.0f}h{wide}" stroke="#333" fill="none"/>')
            parts.append(text(6, y + 4, shown(most * part, unit(panel)), size=10, color=FAINT))
        for number, (_, points, dash) in reversed(list(enumerate(lines))):
            path = "M" + "L".join(
                f"{left + wide * (at - self._start) / (self._end - self._start):.0f},"
                f"{top + high * (1 - min(1.0, value / most)):.0f}"
                for at, value in points.items()
            )
            style = ' stroke-dasharray="6 5"' if dash else ""
            line = COLORS[number % len(COLORS)]
            parts.append(f'<path d="{path}" stroke="{line}" fill="none" stroke-width="1.5"{style}/>')
        for number, (name, _, _) in enumerate(lines[:MOST]):
            x, y = 8 + number % 4 * (w - 8) / 4, h - 30 + number // 4 * 18
            parts.append(
                f'<rect x="{x:.0f}" y="{y - 5:.0f}" width="10" height="3" fill="{COLORS[number % len(COLORS)]}"/>'
            )
            parts.append(text(x + 14, y, name[:16], size=10, color=FAINT))
        return parts


def text(x: float, y: float, words: str, *, size: int, color: str = INK) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{color}">{escape(words)}</text>'


def legend(target: dict[str, Any], labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), target["legendFormat"])


def unit(panel: dict[str, Any]) -> str:
    return str(panel["fieldConfig"]["defaults"]["unit"])


def color(panel: dict[str, Any], value: float) -> str:
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return {"green": COLORS[0], "orange": COLORS[3]}[[each["color"] for each in steps if each["value"] <= value][-1]]


def shown(value: float, kind: str) -> str:
    if kind == "percentunit":
        return f"{100 * value:.3g}%"
    if kind == "s":
        for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value:.3g} s"
    if kind not in UNITS:
        return f"{value:g}"
    step, name = UNITS[kind]
    power = min(4, int(math.log(abs(value), step))) if abs(value) >= 1 else 0
    return f"{value / step**power:.3g} {('', 'k', 'M', 'G', 'T')[power]}{name}".rstrip()


def main() -> None:
    url, minutes, path = sys.argv[1:]
    dashboard = json.loads(Path(__file__).with_name("crawlerd.json").read_text())
    end = time.time()
    Path(path).write_text(Drawing(url, end - 60 * float(minutes), end).picture(dashboard))


if __name__ == "__main__":
    main()
