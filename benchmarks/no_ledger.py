"""The relay with its meter switched to one that books nothing: what metering costs is the difference."""

import secrets

import relay.services.core
from relay.__main__ import main
from relay.services.meter import Call, Meter, Receipt

CREDITS = {
    "charged": 1,
    "remaining": None,
    "purchased": 0,
    "total": None,
    "gemini_remaining": None,
    "held": 0,
    "capped": "lifetime",
    "tier": "core",
}


class NoLedger(Meter):
    def begin(self, identity, name, task):
        if not identity.allowance:
            return super().begin(identity, name, task)
        job = f"job_{secrets.token_hex(12)}"
        return Call(secrets.token_hex(8), identity, job, name or job, task)

    def settle(self, _call, **_):
        return Receipt(1, CREDITS)

    def release(self, call, error=None):
        pass


if __name__ == "__main__":
    relay.services.core.Meter = NoLedger
    main()
