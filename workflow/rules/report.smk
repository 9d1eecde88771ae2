# Figures, each as SVG, PDF and PNG, and the report that shows everything in one page. Those in partial/ show the runs that
# are finished while others are going.


rule plot_map:
    """mAP of every method of a dataset, beside the published one."""
    input:
        runs=get_runs,
        published=get_published,
    output:
        svg=report(
            "<results>/{partial}figures/{dataset}_map.svg",
            caption="../report/map.rst",
            category="Figures",
            labels={"dataset": "{dataset}", "figure": "mAP per method"},
        ),
        pdf="<results>/{partial}figures/{dataset}_map.pdf",
        png="<results>/{partial}figures/{dataset}_map.png",
    log:
        "<logs>/plot_map/{partial}{dataset}.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        results=get_results,
        finished=get_finished,
    script:
        "../scripts/plot_map.py"


rule plot_ranking:
    """How our ranking of the methods agrees with the published one."""
    input:
        runs=get_runs,
        published=get_published,
    output:
        svg=report(
            "<results>/{partial}figures/{dataset}_ranking.svg",
            caption="../report/ranking.rst",
            category="Figures",
            labels={"dataset": "{dataset}", "figure": "Agreement with the published ranking"},
        ),
        pdf="<results>/{partial}figures/{dataset}_ranking.pdf",
        png="<results>/{partial}figures/{dataset}_ranking.png",
    log:
        "<logs>/plot_ranking/{partial}{dataset}.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        results=get_results,
        finished=get_finished,
    script:
        "../scripts/plot_ranking.py"


rule plot_classes:
    """Average precision per class and method, as a heat map."""
    input:
        runs=get_runs,
    output:
        svg=report(
            "<results>/{partial}figures/{dataset}_classes.svg",
            caption="../report/classes.rst",
            category="Figures",
            labels={"dataset": "{dataset}", "figure": "Average precision per class"},
        ),
        pdf="<results>/{partial}figures/{dataset}_classes.pdf",
        png="<results>/{partial}figures/{dataset}_classes.png",
    log:
        "<logs>/plot_classes/{partial}{dataset}.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        results=get_results,
        finished=get_finished,
    script:
        "../scripts/plot_classes.py"


rule plot_gains:
    """The classes that gain most from pre-training."""
    input:
        runs=get_runs,
    output:
        svg=report(
            "<results>/{partial}figures/{dataset}_gains.svg",
            caption="../report/gains.rst",
            category="Figures",
            labels={"dataset": "{dataset}", "figure": "Classes that gain most"},
        ),
        pdf="<results>/{partial}figures/{dataset}_gains.pdf",
        png="<results>/{partial}figures/{dataset}_gains.png",
    log:
        "<logs>/plot_gains/{partial}{dataset}.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        results=get_results,
        finished=get_finished,
    script:
        "../scripts/plot_gains.py"


rule plot_training:
    """Training curves of every run."""
    input:
        runs=get_runs,
    output:
        svg=report(
            "<results>/{partial}figures/{dataset}_training.svg",
            caption="../report/training.rst",
            category="Figures",
            labels={"dataset": "{dataset}", "figure": "Training curves"},
        ),
        pdf="<results>/{partial}figures/{dataset}_training.pdf",
        png="<results>/{partial}figures/{dataset}_training.png",
    log:
        "<logs>/plot_training/{partial}{dataset}.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        results=get_results,
        finished=get_finished,
    script:
        "../scripts/plot_training.py"


rule plot_ava_against_charades:
    """mAP on one dataset against mAP on the other."""
    input:
        runs=get_runs,
    output:
        svg=report(
            "<results>/{partial}figures/ava_against_charades.svg",
            caption="../report/ava_against_charades.rst",
            category="Figures",
            labels={"dataset": "both", "figure": "AVA against Charades"},
        ),
        pdf="<results>/{partial}figures/ava_against_charades.pdf",
        png="<results>/{partial}figures/ava_against_charades.png",
    log:
        "<logs>/plot_ava_against_charades/{partial}both.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        results=get_results,
        finished=get_finished,
    script:
        "../scripts/plot_ava_against_charades.py"


rule report_html:
    """One page to read: what was run, tables, figures, cost, what differs from the published recipe, and examples."""
    input:
        runs=get_runs,
        published=get_published,
        figures=get_figures,
        recipe="config/published.yaml",
        template="workflow/report/report.html.j2",
    output:
        html=report(
            "<results>/{partial}report.html",
            caption="../report/report_html.rst",
            category="Report",
            labels={"contents": "everything on one page"},
        ),
    log:
        "<logs>/report_html/{partial}all.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        results=get_results,
        finished=get_finished,
        benchmarks=f"{config['results']}/benchmarks",
        frames=FRAMES_FOLDER,
        method_rows=METHODS.loc[config["methods"]].to_dict("index"),
    script:
        "../scripts/report_html.py"


rule partial:
    """What the finished runs show while others are going: snakemake --nolock partial"""
    input:
        expand("<results>/partial/{table}.md", table=table_names()),
        "<results>/partial/report.html",
    localrule: True
