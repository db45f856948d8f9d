internal import CSluiceImages

// A message must know its descriptor before anything is done with it.

extension Sluice__RpcFeatures {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__rpc_features__init(&message)
    return unsafe message
  }
}

extension Sluice__RpcPageServer {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__rpc_page_server__init(&message)
    return unsafe message
  }
}

extension Sluice__RpcRequest {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__rpc_request__init(&message)
    return unsafe message
  }
}

extension Sluice__RpcResponse {
  static var blank: Self {
    var message = unsafe Self()
    unsafe sluice__rpc_response__init(&message)
    return unsafe message
  }
}
