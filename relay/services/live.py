"""The operator's settings in force. They may change while the relay runs, so they are read anew at each use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from relay.settings import (
    EventSettings,
    JobSettings,
    LimitSettings,
    MeetingSettings,
    OutputSettings,
    Package,
    PromptSettings,
    ReconcileSettings,
    RelaySettings,
    RenewalSettings,
    RetentionSettings,
    RoutingSettings,
    Settings,
    TierSettings,
)


class SettingsView(Protocol):
    """What services need of the settings: `LiveSettings`, or `Settings` where nothing changes them."""

    @property
    def relay(self) -> RelaySettings: ...
    @property
    def tiers(self) -> Mapping[str, TierSettings]: ...
    @property
    def packages(self) -> tuple[Package, ...]: ...
    @property
    def jobs(self) -> JobSettings: ...
    @property
    def routing(self) -> RoutingSettings: ...
    @property
    def limits(self) -> LimitSettings: ...
    @property
    def retention(self) -> RetentionSettings: ...
    @property
    def outputs(self) -> OutputSettings: ...
    @property
    def meetings(self) -> MeetingSettings: ...
    @property
    def reconcile(self) -> ReconcileSettings: ...
    @property
    def events(self) -> EventSettings: ...
    @property
    def renewals(self) -> RenewalSettings: ...
    @property
    def prompts(self) -> PromptSettings: ...


class LiveSettings:
    """`now` is one frozen whole, and a save swaps it. Who needs two values that belong together takes `now` once."""

    def __init__(self, now: Settings) -> None:
        self.now = now

    @property
    def relay(self) -> RelaySettings:
        return self.now.relay

    @property
    def tiers(self) -> Mapping[str, TierSettings]:
        return self.now.tiers

    @property
    def packages(self) -> tuple[Package, ...]:
        return self.now.packages

    @property
    def jobs(self) -> JobSettings:
        return self.now.jobs

    @property
    def routing(self) -> RoutingSettings:
        return self.now.routing

    @property
    def limits(self) -> LimitSettings:
        return self.now.limits

    @property
    def retention(self) -> RetentionSettings:
        return self.now.retention

    @property
    def outputs(self) -> OutputSettings:
        return self.now.outputs

    @property
    def meetings(self) -> MeetingSettings:
        return self.now.meetings

    @property
    def reconcile(self) -> ReconcileSettings:
        return self.now.reconcile

    @property
    def events(self) -> EventSettings:
        return self.now.events

    @property
    def renewals(self) -> RenewalSettings:
        return self.now.renewals

    @property
    def prompts(self) -> PromptSettings:
        return self.now.prompts
