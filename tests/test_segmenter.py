"""The tap reads z and changes nothing."""

import pytest
import torch
from monai.networks.nets import UNet
from torch import nn

from advconf_lite.segmenter import Segmenter, build_unet, feature_layer, label_map
from advconf_lite.support.errors import BadInput


def small(seed: int = 0, num_classes: int = 4) -> UNet:
    torch.manual_seed(seed)
    return build_unet((4, 8, 8, 8), num_classes, num_res_units=2)


def test_paper_unet_has_the_published_size():
    assert sum(p.numel() for p in build_unet(num_classes=4).parameters()) == 3_171_853


@pytest.mark.parametrize("size, expected", [(256, (64, 64, 64)), (384, (64, 96, 96))])
def test_features_of_the_paper_unet(size, expected):
    assert Segmenter(build_unet()).freeze().feature_shape(size) == expected


def test_features_are_the_input_of_the_decoder_norm_that_is_number_17():
    net = build_unet()
    norms = [name for name, _ in net.named_modules() if name.split(".")[-2:-1] == ["adn"] and name.endswith("N")]
    assert norms[17] == feature_layer(net)


def test_tap_changes_neither_network_nor_output():
    net = small().eval()
    x = torch.randn(2, 1, 32, 32)
    before, keys = net(x), list(net.state_dict())
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())
    logits, z = Segmenter(net).freeze()(x)
    assert torch.equal(logits, before)
    assert list(net.state_dict()) == keys
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()) == hooks
    assert z.shape == (2, 8, 8, 8)


def test_norm_side_chooses_between_input_and_output_of_the_layer():
    net = small().eval()
    x = torch.randn(2, 1, 32, 32)
    before = Segmenter(net, side="input").freeze()(x)[1]
    after = Segmenter(net, side="output").freeze()(x)[1]
    assert torch.allclose(after, nn.functional.instance_norm(before), atol=1e-5)


def test_graph_only_from_the_image_to_z():
    segmenter = Segmenter(small()).freeze()
    x = torch.randn(2, 1, 32, 32)
    logits, z = segmenter(x)
    assert not logits.requires_grad and not z.requires_grad  # nothing asked for a gradient
    x.requires_grad_()
    logits, z = segmenter(x)
    assert z.requires_grad and not logits.requires_grad
    assert torch.is_grad_enabled()  # the switch behind the tap is undone
    assert torch.autograd.grad(z.sum(), x)[0].abs().sum() > 0
    assert all(p.grad is None for p in segmenter.parameters())


def test_gradient_is_that_of_the_untapped_network():
    net = small().double()
    segmenter = Segmenter(net).freeze()
    x = torch.randn(1, 1, 32, 32, dtype=torch.double, requires_grad=True)
    gradient = torch.autograd.grad(segmenter(x)[1].square().sum(), x)[0]
    step = torch.zeros_like(x)
    step[0, 0, 10, 20] = 1e-5
    with torch.no_grad():
        up, down = (segmenter(x + sign * step)[1].square().sum() for sign in (1, -1))
    assert gradient[0, 0, 10, 20].item() == pytest.approx(((up - down) / 2e-5).item(), rel=1e-5)


@pytest.mark.parametrize("slopes, trained", [(1, False), (3, False), (1, True)])
def test_a_frozen_prelu_has_the_same_bits_as_torchs_own(slopes, trained):
    """One frozen slope is computed as a leaky ReLU; several, or one in training, as they are."""
    activation = nn.PReLU(slopes, init=-0.3 if trained else 0.237).requires_grad_(trained)
    net = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), activation, nn.Conv2d(3, 2, 1))
    net[0].requires_grad_(False)
    x = torch.randn(2, 1, 9, 7).requires_grad_()
    _, z = Segmenter(net, layer="1")(x)
    expected = activation(net[0](x))
    leaky = [type(node[0]).__name__ for node in z.grad_fn.next_functions] == ["LeakyReluBackward0"]
    assert torch.equal(z, expected) and leaky == (slopes == 1 and not trained)
    assert torch.equal(*(torch.autograd.grad(of.square().sum(), x)[0] for of in (z, expected)))


def test_grad_mode_is_restored_when_the_network_fails():
    segmenter = Segmenter(small()).freeze()
    with pytest.raises(BadInput, match="does not take images of 3 x 32 x 32 .*expected input"):
        segmenter(torch.randn(1, 3, 32, 32))
    assert torch.is_grad_enabled()
    assert segmenter(torch.randn(1, 1, 32, 32))[0].shape == (1, 4, 32, 32)


def test_masks_are_the_argmax_and_two_classes_work():
    segmenter = Segmenter(small(num_classes=2)).freeze()
    x = torch.randn(3, 1, 32, 32)
    assert torch.equal(segmenter.masks(x), segmenter(x)[0].argmax(1))
    assert segmenter.masks(x).max() <= 1


def test_of_equal_logits_the_first_class_wins_as_argmax_has_it():
    logits = torch.randint(0, 3, (2, 4, 16, 16)).float()  # full of ties
    assert torch.equal(label_map(logits), logits.argmax(1))
    assert label_map(torch.zeros(1, 4, 2, 2)).max() == 0


def test_any_network_can_be_tapped():
    net = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 2, 1))
    logits, z = Segmenter(net, layer="1").freeze()(torch.randn(1, 1, 16, 16))
    assert z.shape == (1, 5, 16, 16) and logits.shape == (1, 2, 16, 16)


def test_a_layer_that_does_not_exist_is_named():
    with pytest.raises(BadInput, match="no layer 'nowhere'"):
        Segmenter(small(), layer="nowhere")


def test_encoder_tap_has_the_same_shape():
    net = small().eval()
    layer = feature_layer(net, "encoder", num_res_units=2)
    assert Segmenter(net, layer).freeze()(torch.randn(1, 1, 32, 32))[1].shape == (1, 8, 8, 8)
