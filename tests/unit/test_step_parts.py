"""What `benchmarks/step_parts.py` measures is what the engine has."""

from step_parts import parts


def test_each_part_of_a_step_runs() -> None:
    for name, part in parts().items():
        assert part(), name
