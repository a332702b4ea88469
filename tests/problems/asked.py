"""What a problem's class tells before there are data, options as keywords."""

from mpi_lowrank.problems import problems


def model(name, dataset, **options):
    return problems[name].model(dataset, problems[name].filled(options))


def footprint(name, *sizes, **options):
    return problems[name].footprint(*sizes, problems[name].filled(options))
