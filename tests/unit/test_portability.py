"""The client and the protocol start on every system: they use nothing that one system lacks."""

from __future__ import annotations

import ast

import pytest

from tests.support.servers import ROOT

ONE_SYSTEM_ONLY = {
    *("curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog"),
    *("termios", "tty", "uvloop", "msvcrt", "winreg", "_winapi"),
}
NOT_EVERYWHERE = {
    "os": """
        chown chroot copy_file_range ctermid eventfd fchmod fchown fdatasync fork forkpty getegid
        geteuid getgid getgroups getloadavg getpgid getpgrp getpriority getuid getxattr killpg
        lchown lockf major makedev memfd_create minor mkfifo mknod nice openpty pipe2 posix_fadvise
        posix_fallocate posix_spawn pread preadv pwrite pwritev readv register_at_fork
        sched_getaffinity sendfile setgid setpgid setpriority setsid setuid setxattr splice statvfs
        sync sysconf tcgetpgrp ttyname uname unshare wait wait3 wait4 waitid writev
        O_CLOEXEC O_DIRECT O_DIRECTORY O_DSYNC O_NOATIME O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH
        O_SYNC O_TMPFILE
    """,
    "select": "devpoll epoll kevent kqueue poll",
    "signal": """
        SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2
        SIGWINCH alarm pause pthread_kill pthread_sigmask setitimer sigwait
    """,
    "socket": """
        AF_UNIX MSG_DONTWAIT MSG_NOSIGNAL SO_REUSEPORT TCP_CORK TCP_KEEPCNT TCP_KEEPIDLE
        TCP_KEEPINTVL TCP_QUICKACK TCP_USER_TIMEOUT recvmsg sendmsg socketpair
    """,
    "time": "clock_gettime pthread_getcpuclockid tzset",
    "sys": "getwindowsversion setdlopenflags",
}
"""Names that Linux, macOS or Windows lacks. Code may use them through `getattr` with a default, and
must check the result."""


@pytest.mark.parametrize("package", ["fsproto", "fsclient"])
def test_nothing_that_one_system_alone_has_is_imported_when_a_module_is(package: str):
    found = []
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in getattr(node, "names", [])]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif not isinstance(node, ast.Import):
                continue
            found += [f"{path.name}: {n}" for n in names if n.split(".")[0] in ONE_SYSTEM_ONLY]
    assert found == []


@pytest.mark.parametrize("package", ["fsproto", "fsclient"])
def test_nothing_that_a_system_lacks_is_used_by_name(package: str):
    found = []
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Attribute(value=ast.Name(id=module), attr=name):
                    names = {(module, name)}
                case ast.ImportFrom(module=str(module), names=imported, level=0):
                    names = {(module, alias.name) for alias in imported}
                case _:
                    continue
            found += [
                f"{path.name}: {module}.{name}"
                for module, name in names
                if name in NOT_EVERYWHERE.get(module, "").split()
            ]
    assert found == []
