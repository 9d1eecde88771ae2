# What a researcher takes away: tables. Those in partial/ show the runs that are finished while others are going.


rule table:
    """A dataset's table: one row per method, in the published order."""
    input:
        runs=get_runs,
        published=get_published,
    output:
        csv=report(
            "<results>/{partial}{dataset}_table.csv",
            caption="../report/table.rst",
            category="Tables",
            labels={"dataset": "{dataset}"},
        ),
        markdown="<results>/{partial}{dataset}_table.md",
        latex="<results>/{partial}{dataset}_table.tex",
    log:
        "<logs>/table/{partial}{dataset}.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        results=get_results,
        finished=get_finished,
    script:
        "../scripts/table.py"


rule side_by_side:
    """Both datasets in one table."""
    input:
        runs=get_runs,
        published=get_published,
    output:
        csv=report(
            "<results>/{partial}side_by_side.csv",
            caption="../report/side_by_side.rst",
            category="Tables",
            labels={"dataset": "both"},
        ),
        markdown="<results>/{partial}side_by_side.md",
        latex="<results>/{partial}side_by_side.tex",
    log:
        "<logs>/side_by_side/{partial}both.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        results=get_results,
        finished=get_finished,
    script:
        "../scripts/side_by_side.py"
