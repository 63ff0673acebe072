"""A local Mailchimp with campaigns, segments and the like, as strict as its official client.

What that does not know gets 400, by `mailchimp_paths.json`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.mailchimp_api import Mailchimp, member_id, problem
from support.mailchimp_api import json as answer

if TYPE_CHECKING:
    from aiohttp import web

# GET requests of mailchimp-marketing 3.0.80: query parameters by path.
PATHS: dict[str, list[str]] = json.loads(Path(__file__).with_name("mailchimp_paths.json").read_text())
SPLIT = [(re.compile(re.sub(r"\{\w+\}", "([^/]+)", path)), names) for path, names in PATHS.items()]

Rows = dict[str, dict[str, Any]]  # by the last part of the path of each


class Marketing(Mailchimp):
    """rows: what is below each path that is a list, such as "/lists/a/segments".

    kinds: by the last part of such a path: where a page has its objects, and the name of their ids.
    moving: objects that are deleted from the front of a list before each page of it, as long as it has twice as many.
    deleted: paths of those.
    unseen: paths that lists leave out, though they are there.
    bad: requests that were refused, with the reason.
    """

    kinds = {  # noqa: RUF012 - nobody changes it
        "segments": ("segments", "id"),
        "members": ("members", "id"),
        "merge-fields": ("merge_fields", "merge_id"),
        "interest-categories": ("categories", "id"),
        "interests": ("interests", "id"),
        "campaigns": ("campaigns", "id"),
        "reports": ("reports", "id"),
        "unsubscribed": ("unsubscribes", "email_id"),
        "email-activity": ("emails", "email_id"),
        "automations": ("automations", "id"),
        "emails": ("emails", "id"),
    }

    def __init__(self, lists: int, campaigns: int, contacts: int, **options: Any) -> None:
        names = [f"list{number}" for number in range(lists)]
        super().__init__(dict.fromkeys(names, 0), **options)
        self.rows: dict[str, Rows] = {"/campaigns": {}, "/reports": {}, "/automations": {}}
        self.moving = 0
        self.deleted: set[str] = set()
        self.unseen: set[str] = set()
        self.bad: list[str] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        for name in names:
            self._fill_list(name, contacts)
        for number in range(campaigns):
            self._fill_campaign(f"c{number}", contacts)
        for number in range(3):
            self.add("/automations", f"w{number}", {"id": f"w{number}", "status": "sending"})
            for email in range(2):
                self.add(f"/automations/w{number}/emails", f"e{email}", {"id": f"e{email}", "position": email})

    def add(self, path: str, key: str, row: dict[str, Any]) -> None:
        self.rows.setdefault(path, {})[key] = {**row, "_links": [{"rel": "self"}]}

    def _fill_list(self, name: str, contacts: int) -> None:
        for number in range(4):
            row = {"id": number, "name": f"segment {number}", "type": "static" if number % 2 else "saved"}
            self.add(f"/lists/{name}/segments", str(number), row)
            for contact in range(number, contacts, 2):
                key = member_id(contact)
                self.add(f"/lists/{name}/segments/{number}/members", key, {"id": key, "list_id": name})
            self.add(f"/lists/{name}/merge-fields", str(number), {"merge_id": number, "tag": f"FIELD{number}"})
        for category in ("a", "b"):
            self.add(f"/lists/{name}/interest-categories", category, {"id": category, "title": category})
            for number in range(3):
                path = f"/lists/{name}/interest-categories/{category}/interests"
                self.add(path, str(number), {"id": str(number), "name": f"interest {number}"})

    def _fill_campaign(self, key: str, contacts: int) -> None:
        self.add("/campaigns", key, {"id": key, "status": "sent"})
        self.add("/reports", key, {"id": key, "opens": {"opens_total": 7}})
        self.rows[f"/reports/{key}/email-activity"] = {}
        for contact in range(contacts):
            self.act(key, contact, "open", f"2026-01-01T00:{contact % 60:02}:00+00:00")
            if contact % 5 == 0:
                row = {"email_id": member_id(contact), "reason": "none given"}
                self.add(f"/reports/{key}/unsubscribed", member_id(contact), row)

    def act(self, campaign: str, contact: int, action: str, timestamp: str, **more: Any) -> None:
        """Something that a contact does with a campaign."""
        path, key = f"/reports/{campaign}/email-activity", member_id(contact)
        if key not in self.rows[path]:
            self.add(path, key, {"campaign_id": campaign, "email_id": key, "activity": []})
        self.rows[path][key]["activity"].append({"action": action, "timestamp": timestamp, **more})

    def drop(self, path: str, key: str) -> None:
        """Deletes one object, with all below it."""
        del self.rows[path][key]
        self.deleted.add(f"{path}/{key}")
        for below in [each for each in self.rows if each.startswith(f"{path}/{key}/")]:
            self.deleted |= {f"{below}/{each}" for each in self.rows.pop(below)}

    def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path, query = request.path.removeprefix("/3.0"), dict(request.query)
        self.asked.append((path, query))
        allowed = next((names for pattern, names in SPLIT if pattern.fullmatch(path or "/")), None)
        wrong = [name for name in query if name not in allowed] if allowed is not None else ["the path"]
        if not 0 < int(query.get("count", 10)) <= 1000:
            wrong.append("count")
        if wrong:
            self.bad.append(f"{path}: {wrong}")
            return problem(400, f"{path}: {wrong}")
        if path in self.rows:
            return self._page(path, query)
        above, _, key = path.rpartition("/")
        if above in self.rows and f"{above}/{key}" not in self.deleted and key in self.rows[above]:
            return answer(self.rows[above][key])
        if path.count("/") > 2 and path.endswith("email-activity") and path.split("/")[2] in self.rows["/reports"]:
            return answer({"emails": [], "total_items": 0})
        owner = "/".join(path.split("/")[:-2]), path.split("/")[-2] if path.count("/") > 2 else ""
        if path.rpartition("/")[2] in self.kinds and owner[1] in self.rows.get(owner[0], {}):
            return answer({self.kinds[path.rpartition("/")[2]][0]: [], "total_items": 0})
        return super()._answer(request)

    def _page(self, path: str, query: dict[str, str]) -> web.StreamResponse:
        what, _ = self.kinds[path.rpartition("/")[2]]
        rows = self.rows[path]
        if "offset" in query:
            for key in list(rows)[: self.moving]:
                if len(rows) > 2 * self.moving:
                    self.drop(path, key)
        found = [row for key, row in rows.items() if f"{path}/{key}" not in self.unseen]
        if since := query.get("since"):
            found = [
                {**row, "activity": [each for each in row["activity"] if each["timestamp"] > since]} for row in found
            ]
            found = [row for row in found if row["activity"]]
        if kind := query.get("type"):
            found = [row for row in found if row["type"] == kind]
        skip, count = int(query.get("offset", 0)), min(int(query.get("count", 10)), self.most)
        if "offset" not in PATHS["/automations/{workflow_id}/emails"] and path.endswith("/emails"):
            skip, count = 0, len(found)
        page = found[skip : skip + count]
        if f"{what}._links" in query.get("exclude_fields", ""):
            page = [{name: value for name, value in row.items() if name != "_links"} for row in page]
        if f"{what}.id" in query.get("fields", ""):
            page = [{"id": row["id"]} for row in page]
        return answer({what: page, "total_items": len(found)})

    def living(self) -> dict[str, set[str]]:
        """The keys of what is there, by stream."""
        return self.ask(self._living)  # type: ignore[no-any-return]

    def _living(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for path, rows in self.rows.items():
            parts = path.strip("/").split("/")
            for key, row in rows.items():
                own = "/".join([*parts[1::2], key])
                match parts:
                    case ["lists", _, "segments"]:
                        found.setdefault("segments", set()).add(own)
                        if row["type"] == "static":
                            found.setdefault("tags", set()).add(own)
                    case ["reports", _, "email-activity"]:
                        events = {f"{own}/{each['timestamp']}/{each['action']}" for each in row["activity"]}
                        found.setdefault("email_activity", set()).update(events)
                    case [*_, last]:
                        found.setdefault(STREAMS["/".join([*parts[2:-1:2], last][-2:])], set()).add(own)
        return found


STREAMS = {
    "segments/members": "segment_members",
    "merge-fields": "merge_fields",
    "interest-categories": "interest_categories",
    "interest-categories/interests": "interests",
    "campaigns": "campaigns",
    "reports": "reports",
    "unsubscribed": "unsubscribes",
    "automations": "automations",
    "emails": "automation_emails",
}
