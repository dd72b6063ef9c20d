"""A tab of Chromium, driven without a library."""

import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--remote-debugging-pipe"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,900"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]


FACE = """(() => {
    const box = document.querySelectorAll('.box')[%d];
    box.click();
    const { width, height } = document.querySelector('.image');
    const sides = ['left', 'top', 'width', 'height'].map((name) => parseFloat(box.style[name]) / 100);
    const shares = [...document.querySelectorAll('.bar')].map((bar) => Number(bar.getAttribute('aria-valuenow')));
    return [sides.map((part, i) => part * (i %% 2 ? height : width)), shares];
})()"""


class Browser:
    """A tab of Chromium, driven through the DevTools protocol over a pipe."""

    def __init__(self, profile, *flags):
        words = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, "about:blank"]
        pipes = 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'  # it reads from 3 and writes to 4
        self.process = subprocess.Popen(
            ["sh", "-c", pipes, "sh", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self.received, self.events, self.numbers, self.session = b"", [], itertools.count(1), {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters, **self.session}
        os.write(self.process.stdin.fileno(), json.dumps(message).encode() + b"\0")
        while (answer := self.receive()).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def receive(self):
        pipe = self.process.stdout.fileno()
        while b"\0" not in self.received:
            assert select.select([pipe], [], [], 60)[0], "Chromium says nothing"
            part = os.read(pipe, 1 << 20)
            assert part, "Chromium ended"
            self.received += part
        message, self.received = self.received.split(b"\0", 1)
        return json.loads(message)

    def value(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression, seconds=60):
        end = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < end, (expression, self.value("document.body.innerText"), self.troubles())
            time.sleep(0.05)

    def open(self, address):
        self.events.clear()
        self.call("Page.navigate", url=address)
        self.until("document.body && ('ready' in document.body.dataset || document.querySelector('.wrong'))")
        assert self.value("document.getElementById('status').textContent") == ""

    def show(self, path):
        """Chooses an image file, and waits for what is said of it."""
        self.value("document.getElementById('status').textContent = ''")
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        chooser = self.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=chooser)
        self.until("!/^$|Looking/.test(document.getElementById('status').textContent)")
        return self.value("document.getElementById('status').textContent")

    def faces(self):
        """(box in pixels of the image, probabilities) of each face, as the page shows them one after the other."""
        count = self.value("document.querySelectorAll('.box').length")
        return [self.value(FACE % i) for i in range(count)]

    def troubles(self):
        kinds = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        return [event for event in self.events if event.get("method") in kinds]

    def addresses(self):
        asked = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return {event["params"]["request"]["url"] for event in asked}

    def close(self):
        try:
            self.session = {}
            self.call("Browser.close")
            self.process.wait(10)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
