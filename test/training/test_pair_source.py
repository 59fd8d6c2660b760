from itk_nephi.training.pair_source import Cache


def test_the_cache_keeps_what_fits() -> None:
    made: list[str] = []
    cache = Cache(limit=10)
    for key, size in [("a", 6), ("b", 6), ("c", 4), ("a", 6), ("b", 6), ("c", 4)]:
        cache(key, lambda key=key: made.append(key), lambda _, size=size: size)  # type: ignore[misc]
    assert made == ["a", "b", "c", "b"]
