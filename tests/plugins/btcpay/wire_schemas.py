"""What BTCPay's API takes, as JSON Schema: the requests the rail sends with a body. Written from its documentation."""

TEXT = {"type": "string", "minLength": 1}
INVOICE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["amount", "currency", "metadata", "checkout"],
    "properties": {
        "amount": {"type": "string", "pattern": r"^(?!0+(\.0+)?$)\d+(\.\d+)?$"},
        "currency": {"type": "string", "pattern": "^[A-Z]{3,6}$"},
        "metadata": {"type": "object", "required": ["orderId"], "properties": {"orderId": TEXT, "itemDesc": TEXT}},
        "checkout": {
            "type": "object",
            "additionalProperties": False,
            "required": ["speedPolicy", "expirationMinutes", "monitoringMinutes", "paymentTolerance"],
            "properties": {
                "speedPolicy": {"enum": ["MediumSpeed", "LowMediumSpeed", "LowSpeed"]},
                "expirationMinutes": {"type": "integer", "minimum": 1},
                "monitoringMinutes": {"type": "integer", "minimum": 60},
                "paymentTolerance": {"const": 0},
                "redirectURL": {"type": "string", "pattern": "^https?://"},
                "redirectAutomatically": {"type": "boolean"},
            },
        },
        "receipt": {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: {"type": "boolean"} for name in ("enabled", "showQR", "showPayments")},
        },
    },
}
WEBHOOK = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url", "enabled", "automaticRedelivery", "secret", "authorizedEvents"],
    "properties": {
        "url": {"type": "string", "pattern": "^https?://"},
        "enabled": {"const": True},
        "automaticRedelivery": {"const": True},
        "secret": {"type": "string", "minLength": 16},
        "authorizedEvents": {
            "type": "object",
            "additionalProperties": False,
            "required": ["everything", "specificEvents"],
            "properties": {"everything": {"const": False}, "specificEvents": {"type": "array", "items": TEXT}},
        },
    },
}
BODIES = {"create": INVOICE, "webhook_create": WEBHOOK, "webhook_update": WEBHOOK}
QUERIES = {
    "invoices": {"take", "skip", "includeArchived", "orderId", "status", "startDate"},
    "methods": {"onlyAccountedPayments"},
    "store_methods": {"onlyEnabled"},
}
