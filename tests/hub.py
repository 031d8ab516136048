"""A Hugging Face hub on this machine: as much of its HTTP interface as uploads and downloads of a model ask.

Written after the hub's client (huggingface_hub 2.4): repositories with branches, the question which files are
large, the LFS batch with uploads in one part or several, commits, listings, and files to fetch.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_made_up_token"
LARGE_BYTES = 10_000
PART_BYTES = 30_000


@dataclass
class Repository:
    """One repository: branches of files, each with its bytes."""

    private: bool
    branches: dict[str, dict[str, bytes]] = field(
        default_factory=lambda: {"main": {".gitattributes": b"* text\n"}}
    )
    commits: dict[str, tuple[str, dict[str, bytes]]] = field(default_factory=dict)
    """id → (title, files)"""
    large: set[str] = field(default_factory=set)
    """Paths whose bytes lie in the store of large files."""


@dataclass
class Hub:
    """What the hub holds, and what a test wants it to do wrong."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    store: dict[str, bytes] = field(default_factory=dict)
    """SHA-256 → bytes of large files"""
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Every request: its method and path."""
    refuse: str = ""
    """Requests whose method and path hold this get `refuse_with`."""
    refuse_with: int = 403
    spoil: bool = False
    """Large files change on their way."""
    url: str = ""

    def files(self, repo: str, revision: str) -> dict[str, bytes] | None:
        """The files of a branch or commit."""
        found = self.repositories[repo]
        if revision in found.branches:
            return found.branches[revision]
        return found.commits[revision][1] if revision in found.commits else None


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers at its `url` until the block ends."""
    hub = Hub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path, query = unquote(urlsplit(self.path).path), parse_qs(urlsplit(self.path).query)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        asked = f"{self.command} {path}"
        self.hub.asked.append(asked)
        if self.hub.refuse and self.hub.refuse in asked:
            self._send(self.hub.refuse_with, {"error": f"not allowed, {TOKEN}"})
        elif not path.startswith("/store/") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(401, {"error": "Invalid credentials in Authorization header"})
        else:
            self._route(path, query, body)

    def _route(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._send(200, {"errors": [], "warnings": []})
        elif parts[0] == "store":
            self._store(parts[1], int(query.get("part", ["0"])[0]), body)
        elif path.endswith(".git/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        elif parts[:2] == ["api", "models"] and "/".join(parts[2:4]) in self.hub.repositories:
            self._repository("/".join(parts[2:4]), parts[4:], body)
        elif len(parts) > 4 and parts[2] == "resolve" and "/".join(parts[:2]) in self.hub.repositories:
            self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})

    def _create(self, asked: dict[str, Any]) -> None:
        repo = f"{asked.get('organization') or 'owner'}/{asked['name']}"
        url = {"url": f"{self.hub.url}/{repo}"}
        if repo in self.hub.repositories:
            self._send(409, {"error": "You already created this model repo", **url})
            return
        self.hub.repositories[repo] = Repository(private=asked.get("visibility") == "private")
        self._send(200, url)

    def _repository(self, repo: str, rest: list[str], body: bytes) -> None:
        found, (verb, *names) = self.hub.repositories[repo], rest or ["info"]
        revision = names[0] if names else "main"
        if verb == "branch":
            if revision in found.branches:
                self._send(409, {"error": "it exists"})
            else:
                found.branches[revision] = dict(found.branches["main"])
                self._send(200, {})
            return
        files = self.hub.files(repo, revision)
        if files is None:
            self._send(404, {"error": f"Invalid rev id: {revision}"}, {"X-Error-Code": "RevisionNotFound"})
        elif verb == "preupload":
            self._send(200, {"files": [self._mode(files, item) for item in json.loads(body)["files"]]})
        elif verb == "commit":
            self._commit(repo, revision, files, body)
        elif verb == "tree":
            self._send(200, [self._listed(found, name, data) for name, data in files.items()])
        else:  # info, revision
            commit = _commit_id(files)
            siblings = [{"rfilename": name} for name in files]
            self._send(
                200, {"id": repo, "sha": commit, "private": found.private, "siblings": siblings, "tags": []}
            )

    def _mode(self, files: dict[str, bytes], item: dict[str, Any]) -> dict[str, Any]:
        path = item["path"]
        return {
            "path": path,
            "uploadMode": "lfs" if item["size"] > LARGE_BYTES else "regular",
            "shouldIgnore": False,
            "oid": _blob(files[path]) if path in files and len(files[path]) <= LARGE_BYTES else None,
        }

    def _listed(self, found: Repository, name: str, data: bytes) -> dict[str, Any]:
        item: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": _blob(data)}
        if name in found.large:
            item["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return item

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = []
        for item in asked["objects"]:
            url = f"{self.hub.url}/store/{item['oid']}"
            upload: dict[str, Any] = {"href": url}
            if item["size"] > PART_BYTES:
                count = -(-item["size"] // PART_BYTES)
                parts = {str(part): f"{url}?part={part}" for part in range(1, count + 1)}
                upload = {"href": url, "header": {"chunk_size": str(PART_BYTES), **parts}}
            known = item["oid"] in self.hub.store
            objects.append({**item, **({} if known else {"actions": {"upload": upload}})})
        self._send(200, {"transfer": "multipart", "objects": objects})

    def _store(self, oid: str, part: int, body: bytes) -> None:
        if self.command == "PUT" and part:
            self.hub.parts.setdefault(oid, {})[part] = body
            self._send(200, {}, {"ETag": f"part-{part}"})
            return
        if self.command == "POST":
            body = b"".join(data for _, data in sorted(self.hub.parts.pop(oid).items()))
        self.hub.store[oid] = body[:-1] + b"?" if self.hub.spoil else body
        self._send(200, {})

    def _commit(self, repo: str, revision: str, files: dict[str, bytes], body: bytes) -> None:
        found, files = self.hub.repositories[repo], dict(files)
        title = ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                title = value["summary"]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            elif line["key"] == "lfsFile":
                found.large.add(value["path"])
                files[value["path"]] = self.hub.store[value["oid"]]
            else:
                files[value["path"]] = base64.b64decode(value["content"])
        found.branches[revision] = files
        commit = _commit_id(files)
        found.commits[commit] = (title, files)
        self._send(200, {"commitUrl": f"{self.hub.url}/{repo}/commit/{commit}", "commitOid": commit})

    def _resolve(self, repo: str, revision: str, name: str) -> None:
        files = self.hub.files(repo, revision)
        if files is None or name not in files:
            self._send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"ETag": f'"{_blob(files[name])}"', "X-Repo-Commit": _commit_id(files)}
        self._send(200, files[name], headers)

    def _chunks(self) -> bytes:
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _send(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _commit_id(files: dict[str, bytes]) -> str:
    return hashlib.sha1(
        repr(sorted((name, _blob(data)) for name, data in files.items())).encode()
    ).hexdigest()
