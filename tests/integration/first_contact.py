"""Steps 1 to 4 of deploy/README.md, typed by the operators of several hosts.

Every command is typed as it stands there, for the names of the parties and what stands
there in capitals. Files pass between hosts by a courier, fingerprints by telephone; the
institutions act at the same time.
"""

import re
import shutil
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy_documents import DEPLOY, WalkThrough, blocks_of
from tests.integration.namespaces import Host, Network
from veilscore.keys import files
from veilscore.lab.holdings import Holding
from veilscore.lab.plain import PlainTable, read_table

COORDINATOR, BANK = "coordinator", "bank"
HOST = "agriculture"
NODES: tuple[str, ...] = (BANK, "regulator", HOST)
PAGES = "http://127.0.0.1:9080"
LOG = f"{PAGES}/log.v1.json"
UNTIL_READY = f"""
import sys, time, urllib.error, urllib.request
deadline = time.monotonic() + 60
while True:
    try:
        urllib.request.urlopen("{PAGES}/readyz")
        break
    except urllib.error.HTTPError as error:  # it answers, and says what is not up yet
        if time.monotonic() > deadline:
            sys.exit(error.read().decode())
        time.sleep(0.2)
"""
PARTIES: tuple[str, ...] = (COORDINATOR, *NODES)


def carry(file: Path, to: Path) -> None:
    """Bring a file from one host to another."""
    shutil.copyfile(file, to)


def told(said: str) -> str:
    """Return the fingerprint or hash that an operator reads in what a command said."""
    (found,) = re.findall(r"\b[0-9a-f]{64}\b", said)
    return str(found)


@dataclass
class FirstContact:
    """The parties on their way to a running federation."""

    walk: WalkThrough
    net: Network
    holdings: Mapping[str, Holding]
    tables: dict[str, PlainTable] = field(default_factory=dict[str, PlainTable])
    fingerprints: dict[str, str] = field(default_factory=dict[str, str])

    def host(self, name: str) -> Host:
        """Return a party's host."""
        return self.net.hosts[name]

    def play(self) -> None:
        """Bring all parties to where they run, with pins of all the others."""
        with ThreadPoolExecutor() as at_once:
            self.start_coordinator()
            # list: what fails at one of them fails here.
            list(at_once.map(self.make_node, NODES))
            for name in NODES:
                self.admit(name)
            list(at_once.map(self.join, NODES))
            list(at_once.map(self.run_once, NODES))
            list(at_once.map(self.run_pinned, NODES))

    def start_coordinator(self) -> None:
        """Play step 1, and let the coordinator ask a witness from the beginning."""
        host, run = self.host(COORDINATOR), self.walk.typed("coordinator run")
        said = host.run(*self.walk.typed("coordinator init"))
        self.fingerprints[COORDINATOR] = told(said)
        coordinator = host.start(*run)
        coordinator.wait_for("pages ")
        self._start_witness(host)
        coordinator.stop()
        host.start(*run).wait_for("pages ")
        host.run("python", "-c", UNTIL_READY)

    def _start_witness(self, host: Host) -> None:
        """Play what the end says about witnesses, on the coordinator's own host."""
        fetch = f"import urllib.request as r; print(r.urlopen('{LOG}').read().decode())"
        (host.folder / "log.v1.json").write_text(host.run("python", "-c", fetch)[:-1])
        line = host.run(*self.walk.typed("witness init", **{"192.0.2.9": "127.0.0.1"}))
        policy = host.folder / COORDINATOR / "log-policy.txt"
        text = policy.read_text()
        assert "\nquorum none\n" in text
        asked = f"\n{line}quorum auditor\n"
        policy.write_text(text.replace("\nquorum none\n", asked))
        host.start(*self.walk.typed("witness run")).wait_for("witness auditor at ")

    def make_node(self, name: str) -> None:
        """Play step 2 at an institution."""
        host, holding = self.host(name), self.holdings[name]
        (host.folder / f"{name}.source.toml").write_text(holding.source)
        init = "node init bank" if name == BANK else "node init regulator"
        # Safe primes would keep three hosts of this machine busy for a minute.
        said = host.run(*self.walk.typed(init, regulator=name), "--quick-key")
        self.fingerprints[name] = told(said)
        self.tables[name] = read_table(holding.moved(host.folder / name))

    def admit(self, name: str) -> None:
        """Play step 3 for an institution."""
        host, coordinator = self.host(name), self.host(COORDINATOR)
        card, kit = f"{name}.card.json", f"{name}.kit.json"
        carry(host.folder / name / "card.json", coordinator.folder / card)
        replaced = {BANK: name, "HEX": self.fingerprints[name]}
        coordinator.run(*self.walk.typed("coordinator admit", **replaced))
        carry(coordinator.folder / kit, host.folder / kit)

    def join(self, name: str) -> None:
        """Play the first part of step 4 at an institution."""
        host, replaced = self.host(name), {BANK: name}
        pinned = {"HEX": self.fingerprints[COORDINATOR]}
        host.run(*self.walk.typed("node join", **replaced, **pinned))
        if name != BANK:
            self._allow_the_bank(name)
        if name == HOST:
            self._host_a_card()
        host.run(*self.walk.typed("node doctor", **replaced))

    def run_once(self, name: str) -> None:
        """Let a node learn of all parties, and pin them as the end of step 4 shows."""
        node = self.host(name).start(*self.walk.typed("node run", bank=name))
        node.wait_for("ready: ")
        node.stop()
        (shown,) = [each for each in blocks_of(self.walk.text) if "[pins]" in each]
        assert tomllib.loads(shown)["pins"].keys() == {*NODES} - {BANK}
        others = [other for other in NODES if other != name]
        pins = [f'{other} = "{self.fingerprints[other]}"\n' for other in others]
        with self._config(name).open("a") as file:
            file.writelines(["\n[pins]\n", *pins])

    def run_pinned(self, name: str) -> None:
        """Start a node for good."""
        node = self.host(name).start(*self.walk.typed("node run", bank=name))
        node.wait_for("ready: ")

    def _host_a_card(self) -> None:
        """Let the bank ask for scores of the example of a hosted card."""
        example, host = DEPLOY / "examples", self.host(HOST)
        card = host.folder / HOST / "hosted_card.toml"
        files.create(card, (example / card.name).read_bytes())
        text = (example / "node.toml").read_text()
        (table,) = re.findall(r"\n(\[\[hosting\.card\]\]\n(?:.+\n)+)", text)
        with self._config(HOST).open("a") as file:
            file.write("\n" + table.replace("lender", BANK))

    def _config(self, name: str) -> Path:
        return self.host(name).folder / name / "node.toml"

    def _allow_the_bank(self, name: str) -> None:
        """Write what step 4 tells a feature holder to write."""
        text = self._config(name).read_text()
        for key in ("requesters", "purposes"):
            (said,) = re.findall(rf"`({key} = [^`]+)`", self.walk.text)
            assert f"{key} = []" in text
            text = text.replace(f"{key} = []", said)
        self._config(name).write_text(text)
