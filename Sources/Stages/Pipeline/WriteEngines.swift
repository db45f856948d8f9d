internal import CSluiceLinux
internal import Logging
internal import SluicePipeline

extension PreDump.Configuration {
  /// What does the writes: io_uring where the kernel gives us one, else threads.
  ///
  /// - Throws: `SluiceError` with `system`, where not even a thread is to be had.
  func makeEngine(_ ring: BufferRing) throws(SluiceError) -> any SluicePipeline.WriteEngine {
    let logger = self.logger
    if writeEngine == .automatic {
      do throws(RingExecutor.Unavailable) {
        return try RingExecutor(
          name: "sluice-writer", depth: queueDepth, buffers: ring,
          registersBuffers: registersBuffers
        ) { errno in
          logger.info(
            "the kernel does not register buffers (\(unsafe String(cString: errno.cName))); raise the limit on locked memory (ulimit -l) to save some CPU"
          )
        }
      } catch {
        logger.info(
          "no io_uring (\(unsafe String(cString: error.errno.cName))): writing with pwrite on threads")
      }
    }
    do throws(NoThread) {
      return try ThreadWriteEngine(name: "sluice-writer", workers: queueDepth)
    } catch {
      throw SluiceError(error)
    }
  }
}
