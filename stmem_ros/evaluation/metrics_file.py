"""``metrics.json``: the result of an evaluation, for machines.

    format          1
    configuration   options as they were resolved: bags, models, topics, replay, device, seed, grid
    versions        of stmem_ros, python, torch, numpy, opencv
    models          by name:
        bundle        name, folder, weights_sha256, window, causal, classes (name, colour)
        totals        Figures of all bags together
        bags          by name:
            path        of the bag
            topic, label_topic, points_topic
            figures     Figures
            faults      list of Fault: index, stamp, reason; the first of many
            faulty      how many there are
            error       why the bag could not be read to its end, null if it could
            sums        the accumulators, from which totals are added exactly
    failed          list of {bag, model, error}: bags that gave nothing at all
    timing          by name of the model: {totals: TimingFigures, bags: {name: TimingFigures}}

Two runs of the same bags and bundles differ in ``timing`` alone.

Folder of an evaluation (``--out DIR``):

    metrics.json
    frames.parquet, timings.parquet      rows of all bags and models (frame_record.py)
    bags/BAG/MODEL/                      results of one bag and model, written by its task:
        result.json                        BagResult; written last, so that it marks a finished task
        frames.parquet, timings.parquet
        ...                                what sinks leave (bag_task.py): pictures, the output bag
"""
