from promotion_assets_tests.registries import judged, registries

__all__ = ["judged", "registries"]
