# Tables, figures and the report page. Those in partial/ show finished runs while others are running: they neither wait
# for runs nor start any, and are re-created when a run ends.

from workflow.lib.report.figures import FIGURES

PARTS_OF_PAGES = [
    find(f"workflow/report/{name}")
    for name in (
        *("page.html.j2", "table.html.j2", "style.css", "sort.js", "compare.rst"),
        *(f"{figure.name}.rst" for figure in FIGURES),
    )
]


rule table:
    """Make a dataset's table, one row per method in the published order, and that of its classes."""
    input:
        runs=get_runs,
        published=config["published_table"] or [],
    output:
        csv=report(
            "<results>/{partial}{dataset}_table.csv",
            caption="../report/table.rst",
            category="Tables",
            labels={"dataset": "{dataset}"},
        ),
        classes="<results>/{partial}{dataset}_classes.csv",
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
    message:
        "Make {output.csv}"
    script:
        "../scripts/table.py"


rule comparisons:
    """Compare each pair of methods of a dataset: difference of mAP, its interval, p-values."""
    input:
        runs=get_runs,
    output:
        csv=report(
            "<results>/{partial}{dataset}_comparisons.csv",
            caption="../report/comparisons.rst",
            category="Tables",
            labels={"dataset": "{dataset}"},
        ),
        markdown="<results>/{partial}{dataset}_comparisons.md",
        latex="<results>/{partial}{dataset}_comparisons.tex",
    log:
        "<logs>/comparisons/{partial}{dataset}.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        results=get_results,
        finished=get_finished,
    message:
        "Make {output.csv}"
    script:
        "../scripts/comparisons.py"


rule side_by_side:
    """Make one table of all datasets."""
    input:
        runs=get_runs,
        published=config["published_table"] or [],
    output:
        csv=report(
            "<results>/{partial}side_by_side.csv",
            caption="../report/side_by_side.rst",
            category="Tables",
            labels={"dataset": "all"},
        ),
        markdown="<results>/{partial}side_by_side.md",
        latex="<results>/{partial}side_by_side.tex",
    log:
        "<logs>/side_by_side/{partial}all.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        results=get_results,
        finished=get_finished,
    message:
        "Make {output.csv}"
    script:
        "../scripts/side_by_side.py"


for figure in FIGURES:

    rule:
        """Draw a figure, per dataset or of all."""
        name:
            f"plot_{figure.name}"
        input:
            runs=get_runs,
            published=config["published_table"] or [],
        output:
            svg=report(
                f"<results>/{{partial}}figures/{figure.stem}.svg",
                caption=f"../report/{figure.name}.rst",
                category="Figures",
                labels={"dataset": "{dataset}" if figure.per_dataset else "all", "figure": figure.title},
            ),
            pdf=f"<results>/{{partial}}figures/{figure.stem}.pdf",
            png=f"<results>/{{partial}}figures/{figure.stem}.png",
        log:
            f"<logs>/plot_{figure.name}/{{partial}}{figure.stem}.log",
        localrule: True
        conda:
            "../../envs/trainer.yaml"
        params:
            figure=figure.name,  # for `script`, which is formatted when the job runs: `figure` is then the last one
            results=get_results,
            finished=get_finished,
        message:
            "Draw {output.svg}"
        script:
            "../scripts/plot_{params.figure}.py"


rule report_html:
    """Make the report page: what was run, tables, figures, cost, differences from the published recipe, examples."""
    input:
        runs=get_runs,
        published=config["published_table"] or [],
        figures=get_figures,
        recipe=find("config/published.yaml"),
        template=find("workflow/report/report.html.j2"),
        parts=PARTS_OF_PAGES,
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
        frames=EXPERIMENT.frames_folder,
        figures=EXPERIMENT.figures,
        method_rows=EXPERIMENT.methods.to_dict("index"),
        note=config["note"],  # the script reads it in config, which Snakemake does not compare
    message:
        "Make {output.html}"
    script:
        "../scripts/report_html.py"


rule partial:
    """Show the results of finished runs while others are running: snakemake --nolock partial"""
    input:
        expand("<results>/partial/{table}.md", table=EXPERIMENT.tables),
        "<results>/partial/report.html",
    localrule: True
    message:
        "Finished runs are shown in {input[0]}"


rule compare:
    """Compare with another experiment on the same test sets: snakemake compare --config against=/path/to/its/results"""
    input:
        runs=get_runs,
        others=get_other_runs,
        template=find("workflow/report/compare.html.j2"),
        parts=PARTS_OF_PAGES,
    output:
        csv="<results>/compare/methods.csv",
        classes="<results>/compare/classes.csv",
        markdown="<results>/compare/methods.md",
        latex="<results>/compare/methods.tex",
        svg="<results>/compare/methods.svg",
        pdf="<results>/compare/methods.pdf",
        png="<results>/compare/methods.png",
        html=report(
            "<results>/compare/report.html",
            caption="../report/compare.rst",
            category="Report",
            labels={"contents": "this experiment against another one"},
        ),
    log:
        "<logs>/compare.log",
    localrule: True
    conda:
        "../../envs/trainer.yaml"
    params:
        results=get_results,
        against=config["against"],
    message:
        "Compare with {params.against}: make {output.html}"
    script:
        "../scripts/compare.py"
