"""The operator's settings as the rules understand them."""

from __future__ import annotations

from dataclasses import dataclass

from relay.domain.tiers import Tier, Tiers
from relay.settings import JobSettings, Package, Settings, TierSettings


@dataclass(frozen=True, slots=True)
class Policy:
    """What calls cost and who may make them."""

    tiers: Tiers
    jobs: JobSettings
    packages: tuple[Package, ...]

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        tiers = {name: tier_of(name, tier) for name, tier in settings.tiers.items()}
        return cls(tiers, settings.jobs, settings.packages)


def tier_of(name: str, tier: TierSettings) -> Tier:
    """A tier with no limit at all counts by lifetime if it is core, else by month."""
    monthly = tier.monthly_credits is not None or tier.monthly_gemini is not None
    lifetime = tier.lifetime_credits is not None or tier.lifetime_gemini is not None
    if monthly or (name != "core" and not lifetime):
        return Tier(name, "monthly", tier.monthly_credits, tier.monthly_gemini, tier.period_days)
    return Tier(name, "lifetime", tier.lifetime_credits, tier.lifetime_gemini, tier.period_days)
