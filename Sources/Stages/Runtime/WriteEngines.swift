internal import CSluiceLinux
internal import Logging
internal import SluicePipeline
internal import SluiceSystem

/// Makes what does the writes: io_uring where the kernel gives us one, else threads.
///
/// - Throws: `SluiceError` with `system`, where not even a thread is to be had.
func makeEngine(
  _ kind: RuntimeSet.Kind, ring: BufferRing, logger: Logger
) throws(SluiceError) -> any WriteEngine {
  if kind.writeEngine == .automatic {
    do throws(RingExecutor.Unavailable) {
      return try RingExecutor(
        name: "sluice-writer", depth: kind.queueDepth, buffers: ring, registersBuffers: kind.registersBuffers,
        cpus: kind.writerProcessors
      ) { errno in
        logger.info(
          "the kernel does not register buffers (\(errno.name)); raise the limit on locked memory (ulimit -l) to save some CPU"
        )
      }
    } catch {
      logger.info(
        "no io_uring (\(error.errno.name)): writing with pwrite on threads")
    }
  }
  do throws(NoThread) {
    return try ThreadWriteEngine(name: "sluice-writer", workers: kind.queueDepth, cpus: kind.writerProcessors)
  } catch {
    throw SluiceError(error)
  }
}
