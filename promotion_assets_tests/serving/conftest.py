from promotion_assets_tests.serving.servers import artifacts, world

__all__ = ["artifacts", "world"]
