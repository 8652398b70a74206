"""EiEvent: events, their periods, signals, targets and baselines, and the answers; the units that reports share."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from .party import EiResponse
from .schema import Element, Message, anything, attribute, child, element, feed, fixed, message, one_of, table
from .values import (
    ANY_URI,
    BOOLEAN,
    CONFIDENCE,
    CURRENCY,
    CURRENCY_DESCRIPTION,
    DATA_QUALITY,
    DECIMAL,
    DURATION,
    EVENT_STATUS,
    FLOAT,
    FLOATS,
    ID,
    INSTANT,
    OPT_TYPE,
    REAL_POWER_UNITS,
    RESPONSE_CODE,
    RESPONSE_REQUIRED,
    SI_SCALE,
    SIGNAL_NAME,
    SIGNAL_TYPE,
    STRING,
    TEMPERATURE_UNITS,
    UNSIGNED_INT,
    Duration,
)

# --- units: what may stand for emix:itemBase --------------------------------------------------------


class ItemBase(Element):
    """The unit in which values are measured."""

    __slots__ = ()


@table("power:powerAttributes")
class PowerAttributes(Element):
    """The grid in which a power is measured: hertz, volt, alternating or direct current."""

    hertz: Decimal = element("power:hertz", DECIMAL)
    voltage: Decimal = element("power:voltage", DECIMAL)
    ac: bool = element("power:ac", BOOLEAN)


@table("power:voltage")
class Voltage(ItemBase):
    """Voltage in V."""

    item_description: str = fixed("power:itemDescription", "Voltage")
    item_units: str = fixed("power:itemUnits", "V")
    si_scale_code: str = element("scale:siScaleCode", SI_SCALE)


@table("power:energyApparent")
class EnergyApparent(ItemBase):
    """Apparent energy in VAh."""

    item_description: str = fixed("power:itemDescription", "ApparentEnergy")
    item_units: str = fixed("power:itemUnits", "VAh")
    si_scale_code: str = element("scale:siScaleCode", SI_SCALE)


@table("power:energyReactive")
class EnergyReactive(ItemBase):
    """Reactive energy in VARh."""

    item_description: str = fixed("power:itemDescription", "ReactiveEnergy")
    item_units: str = fixed("power:itemUnits", "VARh")
    si_scale_code: str = element("scale:siScaleCode", SI_SCALE)


@table("power:energyReal")
class EnergyReal(ItemBase):
    """Real energy in Wh."""

    item_description: str = fixed("power:itemDescription", "RealEnergy")
    item_units: str = fixed("power:itemUnits", "Wh")
    si_scale_code: str = element("scale:siScaleCode", SI_SCALE)


@table("power:powerApparent")
class PowerApparent(ItemBase):
    """Apparent power in VA."""

    item_description: str = fixed("power:itemDescription", "ApparentPower")
    item_units: str = fixed("power:itemUnits", "VA")
    si_scale_code: str = element("scale:siScaleCode", SI_SCALE)
    power_attributes: PowerAttributes = child("power:powerAttributes", PowerAttributes)


@table("power:powerReactive")
class PowerReactive(ItemBase):
    """Reactive power in VAR."""

    item_description: str = fixed("power:itemDescription", "ReactivePower")
    item_units: str = fixed("power:itemUnits", "VAR")
    si_scale_code: str = element("scale:siScaleCode", SI_SCALE)
    power_attributes: PowerAttributes = child("power:powerAttributes", PowerAttributes)


@table("power:powerReal")
class PowerReal(ItemBase):
    """Real power in W or J/s."""

    item_description: str = fixed("power:itemDescription", "RealPower")
    item_units: str = element("power:itemUnits", REAL_POWER_UNITS)
    si_scale_code: str = element("scale:siScaleCode", SI_SCALE)
    power_attributes: PowerAttributes = child("power:powerAttributes", PowerAttributes)


@table("oadr:customUnit")
class CustomUnit(ItemBase):
    """A unit that the schema does not know."""

    item_description: str = element("oadr:itemDescription", STRING)
    item_units: str = element("oadr:itemUnits", STRING)
    si_scale_code: str = element("scale:siScaleCode", SI_SCALE)


@table("oadr:current")
class Current(ItemBase):
    """Current in A."""

    item_description: str = fixed("oadr:itemDescription", "Current")
    item_units: str = fixed("oadr:itemUnits", "A")
    si_scale_code: str = element("scale:siScaleCode", SI_SCALE)


@table("oadr:currency")
class Currency(ItemBase):
    """Money, by ISO 4217 code.  The schema's enumeration has no description for a price per therm."""

    item_description: str = element("oadr:itemDescription", CURRENCY_DESCRIPTION)
    item_units: str = element("oadr:itemUnits", CURRENCY)
    si_scale_code: str = element("scale:siScaleCode", SI_SCALE)


@table("oadr:currencyPerKWh")
class CurrencyPerKWh(Currency):
    """Money per kWh."""


@table("oadr:currencyPerKW")
class CurrencyPerKW(Currency):
    """Money per kW."""


@table("oadr:currencyPerThm")
class CurrencyPerThm(Currency):
    """Money per therm."""


@table("oadr:frequency")
class Frequency(ItemBase):
    """Frequency in Hz."""

    item_description: str = fixed("oadr:itemDescription", "Frequency")
    item_units: str = fixed("oadr:itemUnits", "Hz")
    si_scale_code: str = element("scale:siScaleCode", SI_SCALE)


@table("oadr:Therm")
class Therm(ItemBase):
    """Heat in thm."""

    item_description: str = fixed("oadr:itemDescription", "Therm")
    item_units: str = fixed("oadr:itemUnits", "thm")
    si_scale_code: str = element("scale:siScaleCode", SI_SCALE)


@table("oadr:temperature")
class Temperature(ItemBase):
    """Temperature in celsius or fahrenheit."""

    item_description: str = fixed("oadr:itemDescription", "temperature")
    item_units: str = element("oadr:itemUnits", TEMPERATURE_UNITS)
    si_scale_code: str = element("scale:siScaleCode", SI_SCALE)


@table("oadr:pulseCount")
class PulseCount(ItemBase):
    """Pulses of a meter; ``pulse_factor`` is kWh per count."""

    item_description: str = fixed("oadr:itemDescription", "pulse count")
    item_units: str = fixed("oadr:itemUnits", "count")
    pulse_factor: float = element("oadr:pulseFactor", FLOAT)


@table("oadr:oadrGBDataDescription")
class OadrGBDataDescription(ItemBase):
    """A Green Button feed that describes the data."""

    feed: str = feed("atom:feed")


ITEM_BASES: tuple[type[ItemBase], ...] = (
    Voltage, EnergyApparent, EnergyReactive, EnergyReal, PowerApparent, PowerReactive, PowerReal, CustomUnit,
    Current, Currency, CurrencyPerKWh, CurrencyPerKW, CurrencyPerThm, Frequency, Therm, Temperature, PulseCount,
    OadrGBDataDescription,
)  # fmt: skip


# --- targets ----------------------------------------------------------------------------------------


@table("gml:Polygon")
class Polygon(Element):
    """An area: latitudes and longitudes in turn."""

    id: str | None = attribute("gml:id", ID)
    pos_list: tuple[float, ...] = element("gml:exterior/gml:LinearRing/gml:posList", FLOATS)


@table("gml:FeatureCollection")
class FeatureCollection(Element):
    """A place on the map."""

    id: str | None = attribute("gml:id", ID)
    polygon: Polygon = child("gml:location/gml:Polygon", Polygon)


@table("power:transportInterface")
class TransportInterface(Element):
    """A line between two nodes of the grid."""

    point_of_receipt: str = element("power:pointOfReceipt", STRING)
    point_of_delivery: str = element("power:pointOfDelivery", STRING)


@table("ei:eiTarget")
class EiTarget(Element):
    """Whom something concerns; several entries mean any of them, none means everybody.

    A signal's target holds device classes (``end_device_assets``) only.
    """

    aggregated_pnodes: tuple[str, ...] = element("power:aggregatedPnode*/power:node", STRING)
    end_device_assets: tuple[str, ...] = element("power:endDeviceAsset*/power:mrid", STRING)
    meter_assets: tuple[str, ...] = element("power:meterAsset*/power:mrid", STRING)
    pnodes: tuple[str, ...] = element("power:pnode*/power:node", STRING)
    service_areas: tuple[FeatureCollection, ...] = child("emix:serviceArea*/gml:FeatureCollection", FeatureCollection)
    service_delivery_points: tuple[str, ...] = element("power:serviceDeliveryPoint*/power:node", STRING)
    service_locations: tuple[FeatureCollection, ...] = child(
        "power:serviceLocation*/gml:FeatureCollection", FeatureCollection
    )
    transport_interfaces: tuple[TransportInterface, ...] = child("power:transportInterface*", TransportInterface)
    group_ids: tuple[str, ...] = element("ei:groupID*", STRING)
    group_names: tuple[str, ...] = element("ei:groupName*", STRING)
    resource_ids: tuple[str, ...] = element("ei:resourceID*", STRING)
    ven_ids: tuple[str, ...] = element("ei:venID*", STRING)
    party_ids: tuple[str, ...] = element("ei:partyID*", STRING)


# --- periods, intervals and their payloads ----------------------------------------------------------


@table("xcal:properties")
class Properties(Element):
    """A period: its start, its length (zero: open-ended, rule 47), and how a VEN is to approach and leave it.

    ``startafter``: a VEN delays start and end by a random time up to this (rule 30).
    ``notification``: a VEN should have the event this long before its start (rule 105).
    """

    dtstart: datetime = element("xcal:dtstart/xcal:date-time", INSTANT)
    duration: Duration = element("xcal:duration/xcal:duration", DURATION)
    startafter: Duration | None = element("xcal:tolerance?/xcal:tolerate/xcal:startafter?", DURATION)
    notification: Duration | None = element("ei:x-eiNotification?/xcal:duration", DURATION)
    ramp_up: Duration | None = element("ei:x-eiRampUp?/xcal:duration", DURATION)
    recovery: Duration | None = element("ei:x-eiRecovery?/xcal:duration", DURATION)


@table("ei:eiActivePeriod")
class EiActivePeriod(Element):
    """The period of an event."""

    properties: Properties = child("xcal:properties", Properties)
    components: None = anything("xcal:components")


@table("ei:payloadFloat")
class PayloadFloat(Element):
    """A number."""

    value: float = element("ei:value", FLOAT)


@table("oadr:oadrLoadControlStateType")
class LoadControlValue(Element):
    """The range and the present value of something that is controlled."""

    min: float | None = element("oadr:oadrMin?", FLOAT)
    max: float | None = element("oadr:oadrMax?", FLOAT)
    current: float = element("oadr:oadrCurrent", FLOAT)
    normal: float | None = element("oadr:oadrNormal?", FLOAT)


@table("oadr:oadrLoadControlState")
class OadrLoadControlState(Element):
    """What a resource's load control stands at."""

    capacity: LoadControlValue | None = child("oadr:oadrCapacity?", LoadControlValue)
    level_offset: LoadControlValue | None = child("oadr:oadrLevelOffset?", LoadControlValue)
    percent_offset: LoadControlValue | None = child("oadr:oadrPercentOffset?", LoadControlValue)
    set_point: LoadControlValue | None = child("oadr:oadrSetPoint?", LoadControlValue)


@table("oadr:oadrPayloadResourceStatus")
class OadrPayloadResourceStatus(Element):
    """Whether a resource is online and overridden by hand (rule 331)."""

    online: bool = element("oadr:oadrOnline", BOOLEAN)
    manual_override: bool = element("oadr:oadrManualOverride", BOOLEAN)
    load_control_state: OadrLoadControlState | None = child("oadr:oadrLoadControlState?", OadrLoadControlState)


@table("ei:signalPayload")
class SignalPayload(Element):
    """The value of a signal in an interval."""

    payload: PayloadFloat | OadrPayloadResourceStatus = one_of(
        "ei:payloadBase", PayloadFloat, OadrPayloadResourceStatus
    )


@table("oadr:oadrReportPayload")
class OadrReportPayload(Element):
    """The value of one data point (r_id) of a report; confidence in percent, accuracy in the value's unit."""

    r_id: str = element("ei:rID", STRING)
    confidence: int | None = element("ei:confidence?", CONFIDENCE)
    accuracy: float | None = element("ei:accuracy?", FLOAT)
    payload: PayloadFloat | OadrPayloadResourceStatus = one_of(
        "ei:payloadBase", PayloadFloat, OadrPayloadResourceStatus
    )
    data_quality: str | None = element("oadr:oadrDataQuality?", DATA_QUALITY)


@table("oadr:oadrGBPayload")
class OadrGBPayload(Element):
    """A Green Button feed of data."""

    feed: str = feed("atom:feed")


@table("ei:interval")
class Interval(Element):
    """A stretch of time and the values in it; ``uid`` counts from 0 in a signal (rule 2)."""

    dtstart: datetime | None = element("xcal:dtstart?/xcal:date-time", INSTANT)
    duration: Duration | None = element("xcal:duration?/xcal:duration", DURATION)
    uid: str | None = element("xcal:uid?/xcal:text", STRING)
    payloads: tuple[SignalPayload | OadrReportPayload | OadrGBPayload, ...] = one_of(
        "strm:streamPayloadBase+", SignalPayload, OadrReportPayload, OadrGBPayload
    )


# --- events -----------------------------------------------------------------------------------------


@table("ei:eventDescriptor")
class EventDescriptor(Element):
    """Which event, in which version and state.  A priority of 0 or none is the lowest, 1 the highest."""

    event_id: str = element("ei:eventID", STRING)
    modification_number: int = element("ei:modificationNumber", UNSIGNED_INT)
    modification_date_time: datetime | None = element("ei:modificationDateTime?", INSTANT)
    modification_reason: str | None = element("ei:modificationReason?", STRING)
    priority: int | None = element("ei:priority?", UNSIGNED_INT)
    market_context: str = element("ei:eiMarketContext/emix:marketContext", ANY_URI)
    created_date_time: datetime = element("ei:createdDateTime", INSTANT)
    event_status: str = element("ei:eventStatus", EVENT_STATUS)
    test_event: str | None = element("ei:testEvent?", STRING)
    vtn_comment: str | None = element("ei:vtnComment?", STRING)


@table("ei:eiEventSignal")
class EiEventSignal(Element):
    """What an event asks for, interval by interval; their durations add up to the event's (rule 8)."""

    intervals: tuple[Interval, ...] = child("strm:intervals/ei:interval+", Interval)
    target: EiTarget | None = child("ei:eiTarget?", EiTarget)
    signal_name: str = element("ei:signalName", SIGNAL_NAME)
    signal_type: str = element("ei:signalType", SIGNAL_TYPE)
    signal_id: str = element("ei:signalID", STRING)
    item_base: ItemBase | None = one_of("emix:itemBase?", *ITEM_BASES)
    current_value: float | None = element("ei:currentValue?/ei:payloadFloat/ei:value", FLOAT)


@table("ei:eiEventBaseline")
class EiEventBaseline(Element):
    """What would be used or paid without the event."""

    dtstart: datetime = element("xcal:dtstart/xcal:date-time", INSTANT)
    duration: Duration = element("xcal:duration/xcal:duration", DURATION)
    intervals: tuple[Interval, ...] = child("strm:intervals/ei:interval+", Interval)
    baseline_id: str = element("ei:baselineID", STRING)
    resource_ids: tuple[str, ...] = element("ei:resourceID*", STRING)
    baseline_name: str = element("ei:baselineName", STRING)
    item_base: ItemBase | None = one_of("emix:itemBase?", *ITEM_BASES)


@table("ei:eiEventSignals")
class EiEventSignals(Element):
    """The signals of an event, and its baseline."""

    signals: tuple[EiEventSignal, ...] = child("ei:eiEventSignal+", EiEventSignal)
    baseline: EiEventBaseline | None = child("ei:eiEventBaseline?", EiEventBaseline)


@table("ei:eiEvent")
class EiEvent(Element):
    """An event."""

    descriptor: EventDescriptor = child("ei:eventDescriptor", EventDescriptor)
    active_period: EiActivePeriod = child("ei:eiActivePeriod", EiActivePeriod)
    event_signals: EiEventSignals = child("ei:eiEventSignals", EiEventSignals)
    target: EiTarget = child("ei:eiTarget", EiTarget)


@table("oadr:oadrEvent")
class OadrEvent(Element):
    """An event, and whether it must be answered: always or never (rules 12 and 62)."""

    event: EiEvent = child("ei:eiEvent", EiEvent)
    response_required: str = element("oadr:oadrResponseRequired", RESPONSE_REQUIRED)


@message("oadr:oadrDistributeEvent", service=None)
class OadrDistributeEvent(Message):
    """All events that apply to a VEN: one that is missing is cancelled thereby (rule 61)."""

    response: EiResponse | None = child("ei:eiResponse?", EiResponse)
    request_id: str = element("pyld:requestID", STRING)
    vtn_id: str = element("ei:vtnID", STRING)
    events: tuple[OadrEvent, ...] = child("oadr:oadrEvent*", OadrEvent)


@message("oadr:oadrRequestEvent", service="EiEvent", inner="pyld:eiRequestEvent")
class OadrRequestEvent(Message):
    """A VEN asks for its events, at most ``reply_limit``."""

    request_id: str = element("pyld:requestID", STRING)
    ven_id: str = element("ei:venID", STRING)
    reply_limit: int | None = element("pyld:replyLimit?", UNSIGNED_INT)


@table("ei:qualifiedEventID")
class QualifiedEventID(Element):
    """An event in one of its versions."""

    event_id: str = element("ei:eventID", STRING)
    modification_number: int = element("ei:modificationNumber", UNSIGNED_INT)


@table("ei:eventResponse")
class EventResponse(Element):
    """A VEN's answer to one event; ``request_id`` is that of the oadrDistributeEvent (rule 42)."""

    response_code: str = element("ei:responseCode", RESPONSE_CODE)
    response_description: str | None = element("ei:responseDescription?", STRING)
    request_id: str = element("pyld:requestID", STRING)
    qualified_event_id: QualifiedEventID = child("ei:qualifiedEventID", QualifiedEventID)
    opt_type: str = element("ei:optType", OPT_TYPE)


@message("oadr:oadrCreatedEvent", service="EiEvent", inner="pyld:eiCreatedEvent")
class OadrCreatedEvent(Message):
    """A VEN's answers to events; its own ``response`` speaks of the whole message (rules 25 and 35)."""

    response: EiResponse = child("ei:eiResponse", EiResponse)
    event_responses: tuple[EventResponse, ...] = child("ei:eventResponses?/ei:eventResponse*", EventResponse)
    ven_id: str = element("ei:venID", STRING)
