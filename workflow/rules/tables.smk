# What a researcher takes away.


rule table:
    """One row per method, in the published order."""
    input:
        runs=get_runs,
    output:
        csv=report("<results>/{dataset}_table.csv", category="Tables", labels={"dataset": "{dataset}"}),
    log:
        "<logs>/table/{dataset}.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        methods=METHODS.loc[config["methods"], "label"].to_dict(),
        published=config["published_table"],
    script:
        "../scripts/table.py"
