"""Puts lines between the processes of a running local network: what they say then goes through a proxy."""

from __future__ import annotations

from dataclasses import replace

from xor.machine.directory import parse_address
from xor.session.profile import read_profile, write_profile
from xor.testing.kills import process_of
from xor.testing.local import LocalNetwork
from xor.testing.processes import wait_until


def machines_to_service(network: LocalNetwork, players: tuple[str, ...], port: int) -> None:
    """Machines that have not been started yet will look for the service at another port."""
    for player in players:
        settings = network.machine_directory(player) / "machine.toml"
        settings.write_text(settings.read_text().replace(f":{network.port}", f":{port}"))


def clients_to_service(network: LocalNetwork, port: int) -> None:
    """Clients in this environment know the service at another port, too."""
    write_profile(replace(read_profile("localhost", network.port), port=port))


def listening(network: LocalNetwork, player: str) -> tuple[str, int]:
    """Where a running machine waits for others."""
    log = (network.directory / "logs" / f"{player}.log").read_text()
    return parse_address(log.rsplit("listens=", 1)[1].split()[0])


def machines_to(network: LocalNetwork, player: str, port: int) -> None:
    """Starts a machine anew where it is, and tells the others that it is at another port."""
    host, listens = listening(network, player)
    process_of(network, player).stop()
    settings = network.machine_directory(player) / "machine.toml"
    text = settings.read_text().replace(f'"{host}:0"', f'"{host}:{listens}"')
    settings.write_text(f'{text}advertise = "{host}:{port}"\n')
    log = network.directory / "logs" / f"{player}.log"
    log.unlink()
    started = network.start_machine(player)
    network.remember(started)
    assert wait_until(lambda: log.exists() and "is ready" in log.read_text(), 30), log.read_text()
