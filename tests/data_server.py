"""A web server for data files, which also answers as a model hub does."""

import http.server
import json
from pathlib import Path
from urllib.parse import urlsplit


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves files, and the little of the hub's API that a download asks for."""

    def log_message(self, *arguments: object) -> None:
        pass

    def send_head(self):
        path, commit = urlsplit(self.path).path, "c" * 40
        files = [f.name for f in sorted(Path(self.directory).iterdir()) if f.name != "api.json"]
        about = {"id": "team/model", "sha": commit, "siblings": [{"rfilename": name} for name in files]}
        api = {
            "/api/models/team/model/revision/v1": about,
            f"/api/models/team/model/tree/{commit}": [
                {"type": "file", "path": name, "size": 9, "oid": name} for name in files
            ],
            "/api/datasets/team/birds/revision/v1": {"id": "team/birds", "sha": commit, "siblings": []},
            f"/api/datasets/team/birds/tree/{commit}": [
                {"type": "file", "path": "part/a.jsonl", "size": 9, "oid": "e"},
                {"type": "file", "path": "part/card.md", "size": 9, "oid": "f"},
            ],
        }
        if path in api:
            (Path(self.directory) / "api.json").write_text(json.dumps(api[path]))
            self.path = "/api.json"
        elif path.startswith("/api/"):
            self.send_response(404)
            self.send_header("X-Error-Code", "RevisionNotFound" if "team/birds" in path else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        elif "/resolve/" in path:
            self.path = "/" + path.split("/resolve/")[1].split("/", 1)[1]
        return super().send_head()

    def end_headers(self):
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("ETag", '"e"')
        super().end_headers()
