"""Tests of the engine: who compiles, equal numbers either way, and what happens where the compiler fails."""

import warnings

import pytest
import torch

from ddbench.engine.compiled import COMPILE_FROM_PIXELS, Engine, compiling_pays

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def double(images):
    return images * 2


@pytest.fixture
def compiler(monkeypatch):
    """A function that puts another compiler in the place of torch's: compiling itself is not what is tested."""

    def install(compile_):
        monkeypatch.setattr(torch, "compile", lambda function, **options: compile_(function))

    return install


class FailingCompiler:
    """Fails where torch's does: at the first call, not when the function is wrapped."""

    def __init__(self, error):
        self.error, self.calls = error, 0

    def __call__(self, function):
        def compiled(*args, **kwargs):
            self.calls += 1
            raise self.error

        return compiled


@pytest.mark.parametrize(("num_images", "size", "pays"), [(97_656, 32, False), (97_657, 32, True), (10**8, 1, True)])
def test_policy_is_a_number_of_pixels(num_images, size, pays):
    assert (num_images * size**2 >= COMPILE_FROM_PIXELS) == pays
    assert compiling_pays(num_images, size, CPU) is pays
    assert compiling_pays(num_images, size, CPU) is pays  # nothing is learned from an earlier call
    assert compiling_pays(num_images, size, GPU) is False


def test_eager_engine_never_meets_the_compiler(compiler):
    def refuse(function):
        raise AssertionError("compiled although not asked to")

    compiler(refuse)
    engine = Engine(double, compiles=False)
    assert torch.equal(engine(torch.ones(2)), torch.full((2,), 2.0))
    assert engine.mode == "eager"


def test_compiled_function_is_the_one_called(compiler):
    compiler(lambda function: lambda images: function(images) + 1)
    engine = Engine(double, compiles=True)
    assert [float(engine(torch.ones(()))) for _ in range(2)] == [3.0, 3.0]
    assert engine.mode == "compiled"


def test_failing_compiler_falls_back_once_with_one_line(compiler):
    failing = FailingCompiler(torch._dynamo.exc.TorchDynamoException("no C++ compiler found\nlong trace"))
    compiler(failing)
    engine = Engine(double, compiles=True)
    with pytest.warns(UserWarning, match=r"^compiling failed, running eagerly \(slower\): no C\+\+ compiler found$"):
        first = engine(torch.ones(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = engine(images=torch.ones(2))
    assert torch.equal(first, torch.full((2,), 2.0))
    assert torch.equal(first, second)
    assert engine.mode == "eager"
    assert failing.calls == 1


def test_failure_of_the_function_itself_is_not_hidden(compiler):
    compiler(FailingCompiler(ValueError("shapes differ")))
    engine = Engine(double, compiles=True)
    with pytest.raises(ValueError, match="shapes differ"):
        engine(torch.ones(2))


def test_only_the_first_call_may_fall_back(compiler):
    calls = []

    def compiled(images):
        calls.append(images)
        if len(calls) > 1:
            raise torch._dynamo.exc.TorchDynamoException("later")
        return images

    compiler(lambda function: compiled)
    engine = Engine(double, compiles=True)
    engine(torch.ones(2))
    with pytest.raises(torch._dynamo.exc.TorchDynamoException, match="later"):
        engine(torch.ones(2))
    assert engine.mode == "compiled"


@pytest.mark.slow
def test_compiled_equals_eager_in_values_and_gradients():
    def function(images, weight):
        return torch.nn.functional.conv2d(images, weight, padding=1).relu().mean((2, 3)).square().sum()

    results = []
    for compiles in (False, True):
        generator = torch.Generator().manual_seed(0)
        images, weight = (torch.randn(*shape, generator=generator) for shape in ((4, 3, 8, 8), (5, 3, 3, 3)))
        images.requires_grad_()
        engine = Engine(function, compiles=compiles)
        value = engine(images, weight)
        value.backward()
        assert engine.mode == ("compiled" if compiles else "eager")
        results.append((value.detach(), images.grad))
    torch.testing.assert_close(*results)
