"""The operator's settings as the rules understand them."""

from __future__ import annotations

from collections.abc import Mapping

from relay.domain.tiers import Tier, Tiers
from relay.services.live import SettingsView
from relay.settings import JobSettings, Package, TierSettings


class Policy:
    """What calls cost and who may make them, as it is at the moment of asking."""

    def __init__(self, settings: SettingsView) -> None:
        self._settings = settings
        self._made: tuple[Mapping[str, TierSettings], Tiers] = (settings.tiers, _tiers(settings.tiers))

    @classmethod
    def of(cls, settings: SettingsView) -> Policy:
        return cls(settings)

    @property
    def tiers(self) -> Tiers:
        """Made anew when the settings were saved; one tuple, so that no thread sees half of it."""
        given, made = self._made
        if given is not (now := self._settings.tiers):
            made = _tiers(now)
            self._made = (now, made)
        return made

    @property
    def jobs(self) -> JobSettings:
        return self._settings.jobs

    @property
    def packages(self) -> tuple[Package, ...]:
        return self._settings.packages


def _tiers(given: Mapping[str, TierSettings]) -> Tiers:
    return {name: tier_of(name, tier) for name, tier in given.items()}


def tier_of(name: str, tier: TierSettings) -> Tier:
    """A tier with no limit at all counts by lifetime if it is core, else by month."""
    monthly = tier.monthly_credits is not None or tier.monthly_gemini is not None
    lifetime = tier.lifetime_credits is not None or tier.lifetime_gemini is not None
    if monthly or (name != "core" and not lifetime):
        return Tier(name, "monthly", tier.monthly_credits, tier.monthly_gemini, tier.period_days)
    return Tier(name, "lifetime", tier.lifetime_credits, tier.lifetime_gemini, tier.period_days)
