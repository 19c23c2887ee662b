"""Tests of finding and loading backbones: folders, the Hugging Face cache, class ids, and what is said of bad ones."""

import json
import logging
import shutil
import socket
from dataclasses import replace

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file

from ddbench.datasets import imagenette, imagewoof
from ddbench.diffusion.backbone import (
    check_backbone,
    check_fits,
    class_ids_of,
    find_config,
    input_of,
    load_codec,
    load_denoiser,
    missing_reason,
)
from ddbench.diffusion.codec import PixelCodec, VaeCodec
from ddbench.errors import BadInputError, DataMismatchError, DataMissingError
from ddbench.images import DatasetInfo
from tests.diffusion._original_dit import random_state
from tests.diffusion._small_models import random_call, random_denoiser, random_vae

WEIGHTS = "diffusion_pytorch_model.safetensors"
INFO = DatasetInfo("toy", tuple("abcde"), 3, 16, (0.5,) * 3, (0.25,) * 3, "toy")
HUB_ID = "somebody/DiT-small"


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Nothing may reach for the network; the Hugging Face cache is the test's own."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"reached for the network: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(autouse=True)
def no_chatter(caplog):
    """Diffusers may log nothing, whatever is wrong."""
    logger = logging.getLogger("diffusers")
    logger.addHandler(caplog.handler)
    yield
    logger.removeHandler(caplog.handler)
    assert caplog.get_records("call") == []


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A pipeline's folder of a denoiser and of a VAE that halves images twice and makes them 2 channels."""
    folder = tmp_path_factory.mktemp("pipeline")
    random_denoiser().save(folder / "transformer")
    random_vae(levels=2, latent_channels=2).save_pretrained(folder / "vae")
    return folder


@pytest.fixture
def pipeline(made, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(made, tmp_path / "pipeline")


def put_into_cache(folder, tmp_path, name=HUB_ID):
    place = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("c0ffee")
    shutil.copytree(folder, place / "snapshots" / "c0ffee")


def change_config(path, **changes):
    config = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in (config | changes).items() if value is not None}))


@torch.no_grad()
def test_a_pipeline_its_parts_and_the_cache_give_the_same_models(pipeline, tmp_path):
    put_into_cache(pipeline, tmp_path)
    call = random_call(random_denoiser())
    expected = random_denoiser()(*call)
    for source in (pipeline, pipeline / "transformer", HUB_ID):
        assert missing_reason(str(source), "transformer") is None
        assert torch.equal(load_denoiser(str(source)).eval()(*call), expected)
    vae = random_vae(levels=2, latent_channels=2)
    for source in (pipeline, pipeline / "vae", HUB_ID):
        assert missing_reason(str(source), "vae") is None
        codec = load_codec(str(source))
        assert isinstance(codec, VaeCodec)
        assert codec.downsampling == 2
        assert torch.equal(codec.vae.decoder.conv_out.weight, vae.decoder.conv_out.weight)


def test_a_cached_vae_of_its_own_lies_at_the_top(pipeline, tmp_path):
    put_into_cache(pipeline / "vae", tmp_path, "somebody/sd-vae")  # as in stabilityai/sd-vae-ft-mse
    assert missing_reason("somebody/sd-vae", "vae") is None
    assert find_config("somebody/sd-vae", "vae")["latent_channels"] == 2
    assert load_codec("somebody/sd-vae").channels_of(3) == 2


@torch.no_grad()
def test_the_published_folders_old_class_and_file_format_are_read(pipeline):
    # facebook/DiT-XL-2-256 was uploaded when diffusers had one class for all transformers, as a file of torch's own.
    folder = pipeline / "transformer"
    change_config(folder / "config.json", _class_name="Transformer2DModel", cross_attention_dim=4, num_vector_embeds=7)
    torch.save(load_file(folder / WEIGHTS), folder / "diffusion_pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    call = random_call(random_denoiser())
    assert torch.equal(load_denoiser(str(pipeline)).eval()(*call), random_denoiser()(*call))


@torch.no_grad()
def test_a_vae_with_the_old_names_of_attention_is_read(pipeline):
    path, pixels = pipeline / "vae" / WEIGHTS, torch.arange(768, dtype=torch.int64).view(1, 3, 16, 16).to(torch.uint8)
    expected = load_codec(str(pipeline)).encode(pixels)[0]
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for name, tensor in load_file(path).items():
        for new, former in names.items():
            name = name.replace(f".{new}.", f".{former}.")
        old[name] = tensor
    assert any(".query." in name for name in old)
    save_file(old, path, {"format": "pt"})
    assert torch.equal(load_codec(str(pipeline)).encode(pixels)[0], expected)


def test_settings_are_filled_up_with_the_defaults(pipeline):
    change_config(pipeline / "transformer" / "config.json", num_embeds_ada_norm=None)
    assert find_config(str(pipeline), "transformer")["num_embeds_ada_norm"] == 1000
    assert find_config(str(pipeline / "nowhere"), "transformer") is None


def test_no_vae_is_pixels():
    assert isinstance(load_codec("none"), PixelCodec)


@pytest.mark.parametrize("source", [HUB_ID, "no/such/folder", "/no/such/folder", "nothing here", "~/nowhere", ""])
@pytest.mark.parametrize("subfolder", ["transformer", "vae"])
def test_missing_models_say_what_to_do(source, subfolder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = missing_reason(source, subfolder)
    assert message is not None
    assert f"`hf download {source}`, or train a small model" in message or f"config.json with {WEIGHTS}" in message
    with pytest.raises(DataMissingError) as caught:
        load_denoiser(source) if subfolder == "transformer" else load_codec(source)
    assert str(caught.value) == message
    assert "\n" not in message


def test_a_folder_without_a_model_says_what_belongs_there(tmp_path):
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text("{}")  # a download that was cut off
    message = missing_reason(str(tmp_path), "vae")
    assert (
        f"no config.json with {WEIGHTS} in {str(tmp_path)!r} nor in its folder vae; put a diffusers AutoencoderKL"
        in message
    )


def test_a_missing_checkpoint_says_what_to_put_there(tmp_path):
    path = str(tmp_path / "DiT.pt")
    assert "put the original DiT-XL-2-256x256.pt there, or use backbone=scratch" in missing_reason(path, "transformer")
    with pytest.raises(DataMissingError, match=r"put the original DiT-XL-2-256x256.pt there"):
        load_denoiser(path)


def truncate(folder):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def empty(folder):
    (folder / WEIGHTS).write_bytes(b"")


def drop_tensor(folder):
    state = load_file(folder / WEIGHTS)
    name = next(name for name in sorted(state) if name.endswith("to_q.weight"))
    save_file({key: tensor for key, tensor in state.items() if key != name}, folder / WEIGHTS, {"format": "pt"})


def resize_tensor(folder):
    state = load_file(folder / WEIGHTS)
    name = next(name for name in sorted(state) if name.endswith("to_q.weight"))
    save_file(state | {name: torch.ones(3, 3)}, folder / WEIGHTS, {"format": "pt"})


@pytest.mark.parametrize("subfolder", ["transformer", "vae"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "are damaged or not those of its config.json; copy the folder again$"),
        (empty, "are damaged or not those of its config.json; copy the folder again$"),
        (resize_tensor, r"are .* of its config.json \(.*to_q.weight.*\); copy the folder again$"),
        (drop_tensor, r"lack 1 tensors, .*to_q.weight for one; copy the folder again$"),
    ],
)
def test_damaged_weights_are_refused_in_one_line(pipeline, subfolder, damage, message):
    damage(pipeline / subfolder)
    with pytest.raises(DataMismatchError, match=rf"^the weights in .*/{subfolder} {message}") as caught:
        load_denoiser(str(pipeline)) if subfolder == "transformer" else load_codec(str(pipeline))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "config.json is damaged; copy or download the folder again"),
        ("[1]", "should describe a DiTTransformer2DModel, found nothing known; give the folder of one"),
        ('{"_class_name": "UNet2DModel"}', "should describe a DiTTransformer2DModel, found UNet2DModel;"),
        (
            '{"_class_name": "Transformer2DModel", "norm_type": "layer_norm"}',
            "should describe a DiTTransformer2DModel, found Transformer2DModel;",
        ),
    ],
)
def test_other_settings_are_refused_and_are_a_reason_to_skip(pipeline, content, message):
    (pipeline / "transformer" / "config.json").write_text(content)
    with pytest.raises(DataMismatchError, match=message) as caught:
        load_denoiser(str(pipeline))
    assert missing_reason(str(pipeline), "transformer") == str(caught.value)
    assert find_config(str(pipeline), "transformer") is None


def test_settings_of_another_size_are_refused(pipeline):
    change_config(pipeline / "transformer" / "config.json", num_layers=4)
    with pytest.raises(DataMismatchError, match=r"lack \d+ tensors, transformer_blocks.3\S+ for one; copy the folder"):
        load_denoiser(str(pipeline))


def test_settings_without_sense_are_refused(pipeline):
    change_config(pipeline / "transformer" / "config.json", num_layers="many")
    with pytest.raises(DataMismatchError, match=r"should give a whole number above 0 as num_layers, found .many."):
        load_denoiser(str(pipeline))


def test_blocks_with_embedders_of_their_own_are_refused(pipeline):
    path = pipeline / "transformer" / WEIGHTS
    state = load_file(path)
    state["transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight"][0, 0] += 1
    save_file(state, path, {"format": "pt"})
    with pytest.raises(DataMismatchError, match=r"^block 1 of .* embeds timesteps and labels otherwise than block 0"):
        load_denoiser(str(pipeline))


def info_of(classes):
    return replace(INFO, class_names=tuple(name for _, name in classes), class_ids=tuple(wnid for wnid, _ in classes))


def test_imagenette_is_found_by_wordnet_id():
    # From ImageNet's list of classes, sorted by WordNet id: tench is its first, parachute its 702nd.
    expected = [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]
    assert class_ids_of(info_of(imagenette.CLASSES), 1000).tolist() == expected


def test_imagewoof_is_found_by_wordnet_id():
    ids = dict(
        zip(info_of(imagewoof.CLASSES).class_ids, class_ids_of(info_of(imagewoof.CLASSES), 1000).tolist(), strict=True)
    )
    # Beagle, Australian terrier, golden retriever, dingo.
    assert [ids[name] for name in ("n02088364", "n02096294", "n02099601", "n02115641")] == [162, 193, 207, 273]


def test_classes_of_other_backbones_are_the_labels():
    assert class_ids_of(INFO, 5).tolist() == [0, 1, 2, 3, 4]
    assert class_ids_of(info_of(imagenette.CLASSES), 10).tolist() == list(range(10))


@pytest.mark.parametrize("num_classes", [4, 1000])
def test_another_number_of_classes_is_refused(num_classes):
    with pytest.raises(BadInputError, match=f"knows {num_classes} classes and toy has 5, .*backbone=scratch$"):
        class_ids_of(INFO, num_classes)


def test_an_unknown_wordnet_id_is_refused():
    info = replace(INFO, class_ids=("n01440764", "n99999999", "n02102040", "n02979186", "n03000684"))
    with pytest.raises(
        BadInputError, match="class n99999999 of toy is not one of ImageNet's 1,000; use another backbone"
    ):
        class_ids_of(info, 1000)


def test_inputs_follow_from_the_vaes_settings(pipeline):
    assert input_of("none", INFO) == (3, 16)
    assert input_of(str(pipeline), INFO) == (2, 8)


@pytest.mark.parametrize("change", [{"channels": 1, "mean": (0.5,), "std": (0.25,)}, {"image_size": 15}])
def test_images_a_vae_cannot_take_are_refused(pipeline, change):
    with pytest.raises(BadInputError, match=r"the vae works on 3 channels and .* multiples of 2, and .*or vae=none$"):
        input_of(str(pipeline), replace(INFO, **change))


def test_a_backbone_that_fits_passes_both_checks(pipeline):
    check_backbone(str(pipeline), str(pipeline), INFO)
    check_fits(random_denoiser(), str(pipeline), INFO)


@pytest.mark.parametrize(("size", "vae", "found"), [(32, "pipeline", "2 of 16x16"), (8, "none", "3 of 8x8")])
def test_another_size_is_refused_before_and_after_loading(pipeline, size, vae, found):
    info, vae = replace(INFO, image_size=size), str(pipeline) if vae == "pipeline" else vae
    message = f"the backbone works on 2 channels of 8x8, and images of toy become {found}; choose"
    with pytest.raises(BadInputError, match=message):
        check_backbone(str(pipeline), vae, info)
    with pytest.raises(BadInputError, match=message):
        check_fits(random_denoiser(), vae, info)


def test_an_original_checkpoint_is_checked_by_its_tensors(pipeline, tmp_path):
    path = tmp_path / "DiT.pt"
    state = random_state(width=384, depth=1)
    torch.save(state, path)
    check_backbone(str(path), str(pipeline), INFO)
    with pytest.raises(BadInputError, match="the backbone works on 2 channels of 8x8, and images of toy become 3 of"):
        check_backbone(str(path), "none", INFO)
    with pytest.raises(BadInputError, match="knows 5 classes and toy has 3"):
        check_backbone(str(path), str(pipeline), replace(INFO, class_names=("a", "b", "c")))
    torch.save({"no": torch.ones(1)}, path)
    with pytest.raises(DataMismatchError, match="not an original DiT checkpoint"):
        check_backbone(str(path), "none", INFO)
