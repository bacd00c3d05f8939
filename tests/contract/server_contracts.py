"""All that a store of a server has to do. A test class gives the store."""

from contract.acts_contract import ActsContract, ServerActsContract
from contract.blob_contract import ServerBlobContract
from contract.counters_contract import ServerCountersContract
from contract.erase_contract import EraseContract
from contract.pointers_contract import PointersContract, ServerPointersContract
from contract.schedules_contract import SchedulesContract, ServerSchedulesContract
from contract.server_store_contract import ServerStoreContract
from contract.store_contract import StoreContract


class ServerContracts(
    StoreContract,
    ServerStoreContract,
    ServerBlobContract,
    SchedulesContract,
    ServerSchedulesContract,
    PointersContract,
    ServerPointersContract,
    ActsContract,
    ServerActsContract,
    ServerCountersContract,
    EraseContract,
):
    """The contracts of a store in one process, which a server walks through."""
