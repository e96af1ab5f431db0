"""The digest of a state, by which a changed bit is noticed: against accidents, and not against who can count, too."""

from collections.abc import Iterable
from typing import Any

from .._utils.digests import digest

__all__ = ["CHECKED", "SEAL", "check_seal", "sealed"]

SEAL = "_digest"
#: In the place of a digest: the file that the state comes from had one of its own.
CHECKED = object()


def sealed(state: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Give a state with a digest of what stands under these names; what a subclass adds is its own affair."""
    names = sorted(names)
    return state | {SEAL: {"names": names, "digest": _digest_of(state, names)}}


def check_seal(state: dict[str, Any]) -> dict[str, Any]:
    """Give a state without its digest; a ValueError if it has none, or that of another content."""
    seal = state.get(SEAL)
    if seal is not CHECKED and (seal is None or seal["digest"] != _digest_of(state, seal["names"])):
        raise ValueError("its digest is missing, or is not that of its content, which has changed")
    return {name: value for name, value in state.items() if name != SEAL}


def _digest_of(state: dict[str, Any], names: list[str]) -> str:
    return digest([names, [state[name] for name in names]])
