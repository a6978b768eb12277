"""A headless Chromium for tests, told what to do over its debugging pipe."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
EXECUTABLE = next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    "--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--hide-scrollbars", "--no-first-run", "--disable-background-networking",
    "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 120.0  # s for one answer: machines that test are slow and busy


class Browser:
    """One page in one browser. Collects what the page complains about, and what it fetches."""

    def __init__(self, folder: Path, *, size: tuple[int, int] = (1280, 900)) -> None:
        """Start a browser with an empty profile in a folder."""
        assert EXECUTABLE is not None
        self.complaints: list[str] = []
        self.fetched: list[str] = []
        self._count = 0
        self._buffer = b""
        requests, self._writer = os.pipe()
        self._reader, answers = os.pipe()
        # the browser reads from 3 and writes to 4, so nothing else may be there when it is forked
        far = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (requests, answers)]
        self._process = subprocess.Popen(
            [EXECUTABLE, *FLAGS, f"--user-data-dir={folder}", f"--window-size={size[0]},{size[1]}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            pass_fds=(3, 4), preexec_fn=lambda: (os.dup2(far[0], 3), os.dup2(far[1], 4)),
        )  # fmt: skip
        for fd in (requests, answers, *far):
            os.close(fd)
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        width, height = size
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")

    def close(self) -> None:
        """End the browser and all that it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._reader)
        os.close(self._writer)

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Do something with the page and return the answer."""
        return self._ask(method, session=self._session, **parameters)

    def evaluate(self, script: str) -> Any:
        """Return what an expression comes to; promises are awaited."""
        answer = self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def open(self, page: Path, *, scheme: str = "light") -> None:
        """Open a flight page and wait until it is drawn, or says that it cannot be."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", features=features)
        self.command("Page.navigate", url=page.as_uri())
        self.until("[document.documentElement?.dataset].some((x) => x?.ready || x?.trouble)")

    def until(self, script: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.evaluate(script):
            assert time.monotonic() < end, f"in vain: {script}"
            time.sleep(0.1)

    def picture(self, path: Path) -> None:
        """Take a picture of what is seen."""
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot")["data"]))

    def _ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        request: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if session is not None:
            request["sessionId"] = session
        os.write(self._writer, json.dumps(request).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._count:
                assert "error" not in message, message["error"]
                return message["result"]
            self._note(message.get("method", ""), message.get("params", {}))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reader], [], [], PATIENCE)
            content = os.read(self._reader, 2**20) if ready else b""
            assert content, "the browser has gone silent"
            self._buffer += content
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event: str, told: dict[str, Any]) -> None:
        """Remember errors, warnings and requests."""
        if event == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
            self.complaints.append(str(told["args"]))
        elif event == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(told["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.fetched.append(told["request"]["url"])
