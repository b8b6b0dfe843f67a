"""Container contracts: how inputs are laid out for an image, how it is talked to, and how its outputs are collected."""

from tef.contracts.base import Cancelled, Contract, Slot
from tef.contracts.folder import Folder
from tef.contracts.tef import Tef

CONTRACTS: dict[str, Contract] = {"tef": Tef(), "folder": Folder()}

__all__ = ["CONTRACTS", "Cancelled", "Contract", "Folder", "Slot", "Tef"]
