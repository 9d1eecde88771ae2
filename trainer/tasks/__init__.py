"""What is particular to a dataset in training and prediction, a module for each name of ``trainer.datasets``.

A task module has

    training_set(run)                             Dataset of items (epoch, row), each a `trainer.data.loaders.Sample`
    build_head(run, backbone)                     nn.Module: features and boxes in, logits or probabilities out
    loss(logits, targets)                         mean over the clips or boxes of a micro-batch
    predict_validation(model, run, group)         predictions for the validation during training
    predict_test(model, run, group)               predictions of the test set

A set has ``item_bytes``, about the bytes of an item in memory; one that `evaluation_loader` serves has ``sizes()``, a
comparable value per item: a batch has items of one size.

Predictions are a dict of arrays with one row per example; the dataset's metric reads them (``trainer/metrics``).
"""
