import torch

from advconf_lite.head import ConfidenceHead, head_scores


def test_published_size():
    """Four scores with the published options: 4,196,936 parameters at 256, 9,439,816 at 384."""
    for side, scores, expected in ((64, 4, 4_196_936), (96, 4, 9_439_816)):
        head = ConfidenceHead((64, side, side), scores, bias=False)
        assert sum(p.numel() for p in head.parameters()) == expected


def test_shapes_and_output_range():
    z = torch.randn(5, 16, 6, 6) * 50
    assert ConfidenceHead((16, 6, 6), 3)(z).shape == (5, 3)
    bounded = ConfidenceHead((16, 6, 6), 1, output="sigmoid")(z)
    assert bounded.shape == (5, 1) and bounded.min() >= 0 and bounded.max() <= 1


def test_group_norm_judges_each_image_alone():
    torch.manual_seed(0)
    z = torch.randn(4, 8, 4, 4)
    for norm, alone in (("group", True), ("batch", False)):
        head = ConfidenceHead((8, 4, 4), 2, norm=norm).train()
        assert torch.allclose(head(z)[:1], head(z[:2])[:1], atol=1e-6) == alone


def test_prediction_is_in_evaluation_mode_and_restores_the_mode():
    head = ConfidenceHead((8, 4, 4), 2).train()
    z = torch.randn(10, 8, 4, 4)
    statistics = head.reduce[2].running_mean.clone()
    scores = head_scores(head, z, batch=3)
    assert head.training and torch.equal(statistics, head.reduce[2].running_mean)
    assert torch.allclose(scores, head.eval()(z), atol=1e-6) and not scores.requires_grad
