/* Counts the calls, and the bytes handed over, on the communicator named "mpi-lowrank door".
 *
 * A PMPI shim, loaded before the MPI library: it knows nothing of the ledger that it checks.
 * At MPI_Finalize every rank writes $COUNT_CALLS.<rank>: a line "operation calls bytes" each. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALLGATHERV, GATHERV, BCAST, SEND, RECV, ALLREDUCE, BARRIER, OPERATIONS };
static const char *names[] = {"Allgatherv", "Gatherv", "Bcast", "Send", "Recv", "Allreduce", "Barrier"};
static long long calls[OPERATIONS], bytes[OPERATIONS];

static void count(int operation, long long elements, MPI_Datatype type, MPI_Comm comm)
{
    char name[MPI_MAX_OBJECT_NAME];
    int length, size;
    PMPI_Comm_get_name(comm, name, &length);
    if (strcmp(name, "mpi-lowrank door")) return;
    PMPI_Type_size(type, &size);
    calls[operation]++;
    bytes[operation] += elements * size;
}

#define SHIM(NAME, SUFFIX, COUNT, DISPLACEMENT)                                                     \
    int MPI_Allgatherv##SUFFIX(const void *s, COUNT n, MPI_Datatype t, void *r, const COUNT *ns,    \
                               const DISPLACEMENT *ds, MPI_Datatype rt, MPI_Comm c)                 \
    {                                                                                               \
        count(ALLGATHERV, n, t, c);                                                                 \
        return PMPI_Allgatherv##SUFFIX(s, n, t, r, ns, ds, rt, c);                                  \
    }                                                                                               \
    int MPI_Gatherv##SUFFIX(const void *s, COUNT n, MPI_Datatype t, void *r, const COUNT *ns,       \
                            const DISPLACEMENT *ds, MPI_Datatype rt, int root, MPI_Comm c)          \
    {                                                                                               \
        count(GATHERV, n, t, c);                                                                    \
        return PMPI_Gatherv##SUFFIX(s, n, t, r, ns, ds, rt, root, c);                               \
    }                                                                                               \
    int MPI_Bcast##SUFFIX(void *b, COUNT n, MPI_Datatype t, int root, MPI_Comm c)                   \
    {                                                                                               \
        count(BCAST, n, t, c);                                                                      \
        return PMPI_Bcast##SUFFIX(b, n, t, root, c);                                                \
    }                                                                                               \
    int MPI_Send##SUFFIX(const void *b, COUNT n, MPI_Datatype t, int to, int tag, MPI_Comm c)       \
    {                                                                                               \
        count(SEND, n, t, c);                                                                       \
        return PMPI_Send##SUFFIX(b, n, t, to, tag, c);                                              \
    }                                                                                               \
    int MPI_Recv##SUFFIX(void *b, COUNT n, MPI_Datatype t, int from, int tag, MPI_Comm c,           \
                         MPI_Status *status)                                                        \
    {                                                                                               \
        count(RECV, n, t, c);                                                                       \
        return PMPI_Recv##SUFFIX(b, n, t, from, tag, c, status);                                    \
    }                                                                                               \
    int MPI_Allreduce##SUFFIX(const void *s, void *r, COUNT n, MPI_Datatype t, MPI_Op op,           \
                              MPI_Comm c)                                                           \
    {                                                                                               \
        count(ALLREDUCE, n, t, c);                                                                  \
        return PMPI_Allreduce##SUFFIX(s, r, n, t, op, c);                                           \
    }

SHIM(plain, , int, int)
#if MPI_VERSION >= 4
SHIM(large, _c, MPI_Count, MPI_Aint)
#endif

int MPI_Barrier(MPI_Comm c)
{
    count(BARRIER, 0, MPI_BYTE, c);
    return PMPI_Barrier(c);
}

int MPI_Finalize(void)
{
    char path[4096];
    int rank;
    PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
    snprintf(path, sizeof path, "%s.%d", getenv("COUNT_CALLS"), rank);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < OPERATIONS; i++) fprintf(file, "%s %lld %lld\n", names[i], calls[i], bytes[i]);
    fclose(file);
    return PMPI_Finalize();
}
