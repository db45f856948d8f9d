import Foundation

/// A value of JSON, which tells whole numbers from others and from true and false.
enum JSONValue: Decodable {
  case bool
  case integer
  case number
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if (try? value.decode(Bool.self)) != nil {
      self = .bool
    } else if (try? value.decode(UInt64.self)) != nil || (try? value.decode(Int64.self)) != nil {
      self = .integer
    } else if (try? value.decode(Double.self)) != nil {
      self = .number
    } else if let text = try? value.decode(String.self) {
      self = .string(text)
    } else if let elements = try? value.decode([JSONValue].self) {
      self = .array(elements)
    } else {
      self = .object(try value.decode([String: JSONValue].self))
    }
  }
}

/// As much of JSON Schema as docs/sluice.schema.json has.
struct JSONSchema: Decodable {
  /// The form of a value.
  final class Form: Decodable, Sendable {
    let type: String
    let values: [String]?
    let items: Form?
    let properties: [String: Form]?
    let required: [String]?
    /// The form of members that are not named; nil where there are none.
    let others: Form?

    private enum CodingKeys: String, CodingKey {
      case type
      case values = "enum"
      case items
      case properties
      case required
      case others = "additionalProperties"
    }

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      type = try container.decode(String.self, forKey: .type)
      values = try container.decodeIfPresent([String].self, forKey: .values)
      items = try container.decodeIfPresent(Form.self, forKey: .items)
      properties = try container.decodeIfPresent([String: Form].self, forKey: .properties)
      required = try container.decodeIfPresent([String].self, forKey: .required)
      // It is false where the named ones are all.
      others = try? container.decode(Form.self, forKey: .others)
    }
  }

  private let definitions: [String: Form]

  private enum CodingKeys: String, CodingKey {
    case definitions = "$defs"
  }

  /// The one of this repository.
  static func ofSluice() throws -> JSONSchema {
    let file = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "../../../docs/sluice.schema.json").standardized
    return try JSONDecoder().decode(JSONSchema.self, from: try Data(contentsOf: file))
  }

  /// What is not as a definition has it, a line each.
  func problems(of text: some StringProtocol, as name: String) throws -> [String] {
    guard let form = definitions[name] else { return ["there is no definition of \(name)"] }
    return Self.problems(
      of: try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)), as: form, at: name)
  }

  private static func problems(of value: JSONValue, as form: Form, at path: String) -> [String] {
    switch (form.type, value) {
    case ("boolean", .bool), ("integer", .integer), ("number", .integer), ("number", .number): return []
    case ("string", .string(let text)):
      guard let values = form.values, !values.contains(text) else { return [] }
      return ["\(path): \(text) is none of \(values)"]
    case ("array", .array(let elements)):
      guard let items = form.items else { return ["\(path): there is no form of its elements"] }
      return elements.flatMap { problems(of: $0, as: items, at: path + "[]") }
    case ("object", .object(let members)):
      let missing = (form.required ?? []).filter { members[$0] == nil }
      return missing.map { "\(path): \($0) is missing" }
        + members.flatMap { name, value -> [String] in
          guard let member = form.properties?[name] ?? form.others else {
            return ["\(path): \(name) is not described"]
          }
          return problems(of: value, as: member, at: "\(path).\(name)")
        }
    default: return ["\(path): \(value) is no \(form.type)"]
    }
  }
}
