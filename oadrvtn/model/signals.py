"""Which signals, types, units and values go together by convention: what the schema allows is more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from .errors import Mistake
from .event import EiEventSignal, SignalPayload

_POWER = ("powerReal", "powerApparent", "powerReactive")
_ENERGY = ("energyReal", "energyApparent", "energyReactive")

DEVICE_CLASSES = (
    "Thermostat", "Strip_Heater", "Baseboard_Heater", "Water_Heater", "Pool_Pump", "Sauna", "Hot_tub",
    "Smart_Appliance", "Irrigation_Pump", "Managed_Commercial_and_Industrial_Loads",
    "Simple_Residential_On_Off_Loads", "Exterior_Lighting", "Interior_Lighting", "Electric_Vehicle",
    "Generation_Systems", "Load_Control_Switch", "Smart_Inverter", "EVSE", "RESU", "Energy_Management_System",
    "Smart_Energy_Module", "Storage",
)  # fmt: skip
"""The names of device classes."""


@attrs.frozen
class Convention:
    """What goes with a signal of one name and type: the kinds of unit (none: no unit), and the values.

    Without ``units`` (None) any unit will do, or none.
    """

    units: tuple[str, ...] | None = ()
    takes: Callable[[float], bool] = lambda value: True
    values: str = ""


_ANY_UNIT = Convention(units=None)
_PRICE = {
    kind: {"price": Convention(units), "priceRelative": Convention(units), "priceMultiplier": Convention()}
    for kind, units in (("energy", ("currencyPerKWh",)), ("demand", ("currencyPerKW",)))
}
_WHOLE = Convention((), float.is_integer, "a whole number")

CONVENTIONS: dict[str, dict[str, Convention]] = {
    "SIMPLE": {"level": Convention()},
    "simple": {"level": Convention()},
    "ELECTRICITY_PRICE": _PRICE["energy"],
    "ENERGY_PRICE": _PRICE["energy"],
    "DEMAND_CHARGE": _PRICE["demand"],
    "BID_PRICE": {"price": Convention(("currency",))},
    "BID_LOAD": {"setpoint": Convention(_POWER)},
    "BID_ENERGY": {"setpoint": Convention(_ENERGY)},
    "CHARGE_STATE": {
        "setpoint": Convention(_ENERGY),
        "delta": Convention(_ENERGY),
        "multiplier": Convention((), lambda value: value >= 0, "zero or more"),
    },
    "LOAD_DISPATCH": {
        "setpoint": Convention(_POWER),
        "delta": Convention(_POWER),
        "multiplier": Convention(),
        "level": _WHOLE,
    },
    "LOAD_CONTROL": {
        "x-loadControlCapacity": Convention((), lambda value: 0 <= value <= 1, "from 0 to 1"),
        "x-loadControlLevelOffset": _WHOLE,
        "x-loadControlPercentOffset": Convention(),
        "x-loadControlSetpoint": _ANY_UNIT,
    },
}
"""signalName -> signalType -> what goes with it; for names of one's own (``x-...``) there is no convention."""


def unconventional(signal: EiEventSignal, place: str) -> Iterator[Mistake]:
    """What is unusual about a signal that the schema allows."""
    known = CONVENTIONS.get(signal.signal_name)
    for number, name in enumerate(signal.target.end_device_assets if signal.target else ()):
        if name not in DEVICE_CLASSES:
            yield Mistake(f"{place}.device_classes[{number}]", f"{name!r} is no usual device class", DEVICE_CLASSES)
    if known is None:
        return
    convention = known.get(signal.signal_type)
    if convention is None:
        yield Mistake(
            f"{place}.signal_type", f"{signal.signal_type} is not usual for {signal.signal_name}", tuple(known)
        )
        return
    unit = signal.item_base.tag.partition(":")[2] if signal.item_base else None
    if convention.units is not None and unit not in (convention.units or (None,)):
        found, usual = unit or "no unit", " or ".join(convention.units) or "none"
        reason = f"{signal.signal_name} as {signal.signal_type} comes in {usual}, not in {found}"
        yield Mistake(f"{place}.item_base", reason, convention.units)
    for number, interval in enumerate(signal.intervals):
        payload = interval.payloads[0]
        assert isinstance(payload, SignalPayload)
        value = payload.payload.value  # type: ignore[union-attr]  # events hold numbers
        if not convention.takes(value):
            yield Mistake(f"{place}.intervals[{number}].value", f"{value:g} is not {convention.values}")
