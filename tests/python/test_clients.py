"""Other people's clients at a running workshop: MLflow's and huggingface_hub, the real packages.

usage: LATHE_URL=http://127.0.0.1:7878 LATHE_MODEL=NAME LATHE_KEYS="MODELS ADMIN ANSWER OTHER" \
       python test_clients.py Waiting|Answering|Withdrawn|Again
needs: pip install mlflow-skinny==3.17.2 huggingface_hub==2.4.0

One class for each part of a model's life (tests/tests/clients.rs lives it): it waits for an approval, it
answers, data it was tuned on is withdrawn, another one has taken its name. The keys open the registered
models, everything, answers alone, and the registered models of another name.
"""

import hashlib
import http.client
import http.server
import os
import pathlib
import tempfile
import threading
import unittest
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ["LATHE_URL"].rstrip("/")
MODEL = os.environ["LATHE_MODEL"]
KEY, ADMIN, ANSWER, OTHER = os.environ["LATHE_KEYS"].split()
REPO = f"lathe/{MODEL}"
PIECE_BYTES = 64
HOME = tempfile.TemporaryDirectory()

os.environ.update(
    HF_ENDPOINT=f"{URL}/hf",
    HF_TOKEN=KEY,
    HF_HOME=HOME.name,
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    MLFLOW_TRACKING_URI=URL,
    MLFLOW_TRACKING_TOKEN=KEY,
    MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
    NO_PROXY="*",
)

import huggingface_hub
import mlflow
from huggingface_hub import errors
from mlflow.exceptions import MlflowException

HUB = huggingface_hub.HfApi()


def registry(key=KEY):
    """MLflow's client; it reads the key with every request."""
    os.environ["MLFLOW_TRACKING_TOKEN"] = key
    return mlflow.MlflowClient(tracking_uri=URL, registry_uri=URL)


def ask(path, key=KEY, method="GET", **headers):
    """Status, headers and body of an answer, the path sent as it stands."""
    host = urllib.parse.urlsplit(URL)
    connection = http.client.HTTPConnection(host.hostname, host.port, timeout=60)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    told = (answer.status, answer.headers, answer.read())
    connection.close()
    return told


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


class Case(unittest.TestCase):
    def refused(self, code, call, *words):
        with self.assertRaises(MlflowException) as caught:
            call()
        self.assertEqual(caught.exception.error_code, code, caught.exception)
        for word in words:
            self.assertIn(word, str(caught.exception))

    def not_on_the_hub(self):
        self.assertEqual([], list(HUB.list_models()))
        with self.assertRaises(errors.RepositoryNotFoundError):
            HUB.model_info(REPO)
        # Asked not to take what it has, the client wraps what it was told.
        with self.assertRaises(ValueError) as caught:
            huggingface_hub.hf_hub_download(REPO, "adapter_config.json", force_download=True)
        self.assertIsInstance(caught.exception.__cause__, errors.RepositoryNotFoundError)


class Waiting(Case):
    """It passed its gate, and nobody approved it yet."""

    def test_it_is_listed_and_waits(self):
        model = registry().get_registered_model(MODEL)
        self.assertEqual(model.latest_versions, [])
        version = registry().get_model_version(MODEL, "1")
        self.assertEqual(version.status, "PENDING_REGISTRATION")
        self.assertIn("lathe approve", version.status_message)
        self.refused("INVALID_STATE", lambda: registry().get_model_version_download_uri(MODEL, "1"), "approval")
        self.not_on_the_hub()

    def test_an_alias_that_serves_is_refused_by_admission(self):
        for alias in ("production", "Champion"):
            put = lambda: registry(ADMIN).set_registered_model_alias(MODEL, alias, "1")
            self.refused("INVALID_STATE", put, "waits for approval", "lathe approve")
        self.refused("RESOURCE_DOES_NOT_EXIST", lambda: registry().get_model_version_by_alias(MODEL, "production"))

    def test_another_alias_is_a_label(self):
        registry(ADMIN).set_registered_model_alias(MODEL, "challenger", "1")
        self.assertEqual(registry().get_model_version_by_alias(MODEL, "challenger").version, "1")
        # Nothing answers because of it.
        status, _, _ = ask("/v1/models/" + MODEL, key=ANSWER)
        self.assertEqual(status, 404)


class Answering(Case):
    """It was approved, and answers."""

    def test_mlflow_lists_and_finds_it(self):
        models = registry().search_registered_models()
        self.assertEqual([model.name for model in models], [MODEL])
        self.assertEqual(models[0].aliases["production"], "1")
        self.assertEqual(models[0].latest_versions[0].current_stage, "Production")
        like = f"name LIKE '{MODEL[:3]}%' AND name != 'x'"
        self.assertEqual([model.name for model in registry().search_registered_models(like)], [MODEL])
        self.assertEqual(registry().search_registered_models("name = 'another'"), [])
        versions = registry().search_model_versions(f"name='{MODEL}'", order_by=["version_number DESC"])
        self.assertEqual([(v.version, v.status) for v in versions], [("1", "READY")])
        self.assertRegex(versions[0].tags["lathe.adapter"], "^[0-9a-f]{64}$")
        latest = registry().get_latest_versions(MODEL)
        self.assertEqual([version.version for version in latest], ["1"])
        self.assertEqual(registry().get_latest_versions(MODEL, stages=["Staging"]), [])

    def test_pages_follow_one_another(self):
        page = registry().search_model_versions(max_results=1)
        self.assertEqual((len(page), page.token), (1, ""))

    def test_what_is_not_built_is_named(self):
        self.refused("INVALID_PARAMETER_VALUE", lambda: registry().search_registered_models("tags.a = 'b'"), "not built")
        self.refused("INVALID_PARAMETER_VALUE", lambda: registry().search_registered_models(order_by=["size"]), "order_by")
        self.refused("ENDPOINT_NOT_FOUND", lambda: registry(ADMIN).create_registered_model("mine"), "orders")
        self.refused("RESOURCE_DOES_NOT_EXIST", lambda: registry().get_registered_model("none"))
        self.refused("RESOURCE_DOES_NOT_EXIST", lambda: registry().get_model_version(MODEL, "7"))
        self.refused("RESOURCE_DOES_NOT_EXIST", lambda: registry().get_model_version_by_alias(MODEL, "none"))

    def test_aliases(self):
        client = registry(ADMIN)
        for alias in ("production", "champion"):
            client.set_registered_model_alias(MODEL, alias, "1")
            self.assertEqual(client.get_model_version_by_alias(MODEL, alias).version, "1")
            self.refused("INVALID_STATE", lambda: client.delete_registered_model_alias(MODEL, alias), "breaker")
        client.set_registered_model_alias(MODEL, "shadow", "1")
        self.assertIn("shadow", client.get_model_version(MODEL, "1").aliases)
        client.delete_registered_model_alias(MODEL, "Shadow")
        self.refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_model_version_by_alias(MODEL, "shadow"))
        self.refused("RESOURCE_DOES_NOT_EXIST", lambda: client.set_registered_model_alias(MODEL, "shadow", "9"))
        self.refused("INVALID_PARAMETER_VALUE", lambda: client.set_registered_model_alias(MODEL, "a b", "1"))

    def test_mlflow_downloads_it(self):
        registry()
        with tempfile.TemporaryDirectory() as folder:
            whole = pathlib.Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL}@production", dst_path=folder))
            on_the_hub = {entry.path: entry.lfs.sha256 for entry in self.files()}
            downloaded = [path for path in whole.rglob("*") if path.is_file()]
            self.assertEqual({str(path.relative_to(whole)): sha256(path) for path in downloaded}, on_the_hub)
        with tempfile.TemporaryDirectory() as folder:
            one = mlflow.artifacts.download_artifacts(f"models:/{MODEL}/1/adapter_config.json", dst_path=folder)
            self.assertEqual(sha256(one), on_the_hub["adapter_config.json"])
        listed = mlflow.artifacts.list_artifacts(f"mlflow-artifacts:/models/{MODEL}/1", tracking_uri=URL)
        # The client tells of paths from the folder above what it was asked for.
        self.assertIn(("1/base", True), [(entry.path, entry.is_dir) for entry in listed])

    def files(self):
        return [entry for entry in HUB.list_repo_tree(REPO, recursive=True) if hasattr(entry, "lfs")]

    def test_the_hub_tells_of_it(self):
        (listed,) = HUB.list_models(search=MODEL[:4], author="lathe", filter="peft", limit=5)
        self.assertEqual(listed.id, REPO)
        self.assertEqual(list(HUB.list_models(search="no such thing")), [])
        info = HUB.model_info(REPO, files_metadata=True)
        self.assertRegex(info.sha, "^[0-9a-f]{40}$")
        self.assertEqual(info.sha, listed.sha)
        weights = [file for file in info.siblings if file.rfilename == "adapter_model.safetensors"]
        self.assertEqual(len(weights[0].lfs.sha256), 64)
        for revision in ("v1", "production", info.sha):
            self.assertEqual(HUB.model_info(REPO, revision=revision).sha, info.sha)
        refs = HUB.list_repo_refs(REPO)
        self.assertEqual([branch.name for branch in refs.branches], ["main"])
        self.assertIn("v1", [tag.name for tag in refs.tags])
        self.assertEqual([entry.path for entry in HUB.list_repo_tree(REPO, "base")], [p.path for p in self.files() if p.path.startswith("base/")])

    def test_the_hub_hands_it_out(self):
        folder = pathlib.Path(huggingface_hub.snapshot_download(REPO))
        self.assertEqual(folder.name, HUB.model_info(REPO).sha)
        for entry in self.files():
            self.assertEqual(sha256(folder / entry.path), entry.lfs.sha256, entry.path)
            self.assertEqual((folder / entry.path).stat().st_size, entry.size)
        metadata = huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(REPO, "adapter_config.json"))
        self.assertEqual(metadata.etag, sha256(folder / "adapter_config.json"))
        self.assertEqual(metadata.commit_hash, folder.name)
        with tempfile.TemporaryDirectory() as local:
            path = huggingface_hub.hf_hub_download(REPO, "adapter_config.json", revision="v1", local_dir=local)
            self.assertEqual(sha256(path), metadata.etag)

    def test_the_hub_names_what_is_missing(self):
        with self.assertRaises(errors.RepositoryNotFoundError):
            HUB.model_info("lathe/none")
        with self.assertRaises(errors.RepositoryNotFoundError):
            HUB.model_info(f"somebody/{MODEL}")
        with self.assertRaises(errors.RevisionNotFoundError):
            HUB.model_info(REPO, revision="v9")
        with self.assertRaises(errors.EntryNotFoundError):
            huggingface_hub.hf_hub_download(REPO, "pytorch_model.bin")

    def test_a_download_that_breaks_off_goes_on_where_it_was(self):
        (weights,) = [file for file in self.files() if file.path == "adapter_model.safetensors"]
        # In pieces so small that some of them arrive before it breaks off.
        huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = PIECE_BYTES
        half = weights.size // 2 // PIECE_BYTES * PIECE_BYTES
        with Breaking(half) as breaking, tempfile.TemporaryDirectory() as cache:
            path = huggingface_hub.hf_hub_download(
                REPO, weights.path, cache_dir=cache, endpoint=f"{breaking.url}/hf", force_download=True
            )
            self.assertEqual(sha256(path), weights.lfs.sha256)
        self.assertEqual(breaking.ranges, [None, f"bytes={half}-"])

    def test_parts_of_a_file(self):
        path = f"/hf/{REPO}/resolve/main/adapter_model.safetensors"
        status, headers, whole = ask(path)
        self.assertEqual((status, int(headers["Content-Length"])), (200, len(whole)))
        self.assertEqual(headers["ETag"], f'"{hashlib.sha256(whole).hexdigest()}"')
        for given, start, end in (("0-9", 0, 10), ("-7", len(whole) - 7, len(whole)), ("5-", 5, len(whole))):
            status, headers, part = ask(path, Range=f"bytes={given}")
            self.assertEqual((status, part), (206, whole[start:end]))
            self.assertEqual(headers["Content-Range"], f"bytes {start}-{end - 1}/{len(whole)}")
        status, headers, nothing = ask(path, Range=f"bytes={len(whole)}-")
        self.assertEqual((status, nothing, headers["Content-Range"]), (416, b"", f"bytes */{len(whole)}"))
        # Of another content, and several at once: the whole.
        for given in ({"If_Range": '"another"', "Range": "bytes=0-1"}, {"Range": "bytes=0-1,4-5"}):
            self.assertEqual(ask(path, **given)[::2], (200, whole))
        status, headers, nothing = ask(path, method="HEAD")
        self.assertEqual((status, nothing, int(headers["Content-Length"])), (200, b"", len(whole)))
        mlflow_path = f"/api/2.0/mlflow-artifacts/artifacts/models/{MODEL}/1/adapter_model.safetensors"
        self.assertEqual(ask(mlflow_path, Range="bytes=3-5")[::2], (206, whole[3:6]))

    def test_no_path_leads_out(self):
        outside = ["..", "../config.json", "base/../../../store.sqlite", "/etc/passwd", "base//", ".", "./adapter_config.json", "adapter_config.json/"]
        outside += ["..%2f..%2fstore.sqlite", "%2e%2e/%2e%2e/store.sqlite", "..%5cstore.sqlite", "adapter_config.json%00", "%ff"]
        for inner in outside:
            for path in (
                f"/hf/{REPO}/resolve/main/{inner}",
                f"/hf/api/models/{REPO}/tree/main/{inner}",
                f"/api/2.0/mlflow-artifacts/artifacts/models/{MODEL}/1/{inner}",
                f"/api/2.0/mlflow-artifacts/artifacts/{inner}",
            ):
                status, _, body = ask(path)
                self.assertIn(status, (400, 404), path)
                self.assertNotIn(b"SQLite", body)
            listed = ask(f"/api/2.0/mlflow-artifacts/artifacts?path=models/{MODEL}/1/{inner}")
            self.assertTrue(listed[0] in (400, 404) or listed[2] == b'{"files":[]}', (inner, listed[0], listed[2]))
        for path in (f"/hf/lathe/..%2f{MODEL}/resolve/main/adapter_config.json", f"/hf/{REPO}/resolve/..%2fmain/adapter_config.json"):
            self.assertEqual(ask(path)[0], 404)

    def test_each_key_opens_what_it_is_for(self):
        config = f"/hf/{REPO}/resolve/main/adapter_config.json"
        listed = "/api/2.0/mlflow/registered-models/search"
        self.assertEqual([ask(path, key=None)[0] for path in (config, listed)], [401, 401])
        self.assertEqual([ask(path, key=ANSWER)[0] for path in (config, listed)], [403, 403])
        self.assertEqual([ask(path, key=KEY)[0] for path in (config, listed)], [200, 200])
        # A key of another model sees no such model, and one that reads sets no alias.
        self.assertEqual(ask(config, key=OTHER)[0], 404)
        self.assertEqual(registry(OTHER).search_registered_models(), [])
        self.refused("PERMISSION_DENIED", lambda: registry().set_registered_model_alias(MODEL, "shadow", "1"), "admin")
        self.refused("UNAUTHENTICATED", lambda: registry("lathe-none").get_registered_model(MODEL), "lathe token create")
        with self.assertRaises(errors.HfHubHTTPError) as caught:
            huggingface_hub.HfApi(token=ANSWER).model_info(REPO)
        self.assertIn("lacks the scope models", str(caught.exception))


class Withdrawn(Case):
    """A record that it was tuned on was taken back."""

    def test_it_is_offered_no_more(self):
        self.not_on_the_hub()
        version = registry().get_model_version(MODEL, "1")
        self.assertEqual(version.status, "FAILED_REGISTRATION")
        self.assertIn("was withdrawn", version.status_message)
        self.assertEqual(registry().get_registered_model(MODEL).latest_versions, [])
        self.assertNotIn("production", registry().get_registered_model(MODEL).aliases)
        self.refused("INVALID_STATE", lambda: registry().get_model_version_download_uri(MODEL, "1"), "was withdrawn")
        for path in (
            f"/hf/{REPO}/resolve/main/adapter_config.json",
            f"/hf/{REPO}/resolve/v1/adapter_config.json",
            f"/api/2.0/mlflow-artifacts/artifacts/models/{MODEL}/1/adapter_config.json",
        ):
            self.assertEqual(ask(path)[0], 404)

    def test_no_alias_makes_it_serve(self):
        put = lambda: registry(ADMIN).set_registered_model_alias(MODEL, "production", "1")
        self.refused("INVALID_STATE", put, "was withdrawn", "run the order again")


class Again(Case):
    """The order was run again without the record: another version has the name."""

    def test_the_new_version_is_offered_and_the_old_one_is_not(self):
        self.assertEqual(registry().get_model_version_by_alias(MODEL, "champion").version, "2")
        statuses = {v.version: v.status for v in registry().search_model_versions(f"name='{MODEL}'")}
        self.assertEqual(statuses, {"1": "FAILED_REGISTRATION", "2": "READY"})
        with self.assertRaises(errors.RevisionNotFoundError):
            HUB.model_info(REPO, revision="v1")
        self.assertEqual(HUB.model_info(REPO).sha, HUB.model_info(REPO, revision="v2").sha)

    def test_the_old_version_does_not_come_back_by_an_alias(self):
        put = lambda: registry(ADMIN).set_registered_model_alias(MODEL, "production", "1")
        self.refused("INVALID_STATE", put, "was replaced", "was withdrawn")
        registry(ADMIN).set_registered_model_alias(MODEL, "production", "2")


class Breaking:
    """Between client and workshop: breaks the first answer of a file off after so many bytes."""

    def __init__(self, after):
        self.ranges = []
        outer = self

        class Relay(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.relay()

            def do_HEAD(self):
                self.relay()

            def relay(self):
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                request = urllib.request.Request(URL + self.path, headers=headers, method=self.command)
                opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
                try:
                    answer = opener.open(request)
                except urllib.error.HTTPError as error:
                    answer = error
                body = answer.read()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in ("date", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                self.end_headers()
                if self.command == "GET" and "/resolve/" in self.path:
                    outer.ranges.append(self.headers.get("Range"))
                    if len(outer.ranges) == 1:
                        body = body[:after]
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Relay)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *reason):
        self.server.shutdown()
        self.server.server_close()


if __name__ == "__main__":
    unittest.main()
