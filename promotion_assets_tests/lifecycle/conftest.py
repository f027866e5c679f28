from promotion_assets_tests.ledgers import clock, ledger, registry

__all__ = ["clock", "ledger", "registry"]
