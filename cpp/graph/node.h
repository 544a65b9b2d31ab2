// The graph that a user's math builds: immutable nodes, checked as they are made, alive while something points at them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/dtype.h"
#include "base/shape.h"
#include "graph/variable.h"

namespace lamina::graph {

struct Node;
using Tensor = std::shared_ptr<const Node>;
using Tensors = std::vector<Tensor>;

// ---- Attributes: what an operation needs besides its inputs ----

using Attr = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>, Shape, DType,
                          std::shared_ptr<const Array>, std::shared_ptr<Variable>>;

class Attrs {
 public:
  Attrs() = default;
  Attrs(std::initializer_list<std::pair<std::string, Attr>> items) : items_(items) {}

  void set(const std::string& key, Attr value);
  const Attr* find(const std::string& key) const;

  template <class T>
  const T& get(const std::string& key) const {
    const Attr* attr = find(key);
    if (attr == nullptr) fail("attribute '", key, "' is missing");
    const T* value = std::get_if<T>(attr);
    if (value == nullptr) fail<TypeError>("attribute '", key, "' has another type than expected");
    return *value;
  }

  template <class T>
  T get(const std::string& key, T otherwise) const {
    return find(key) == nullptr ? otherwise : get<T>(key);
  }

  const std::vector<std::pair<std::string, Attr>>& items() const { return items_; }
  bool operator==(const Attrs&) const = default;

 private:
  std::vector<std::pair<std::string, Attr>> items_;
};

// An attribute of that name with nothing in it: a name says the type, in all operations. Null where none is called so.
const Attr* empty_attr(const std::string& op, const std::string& key);

struct Type {
  DType dtype = DType::float32;
  Shape shape;
  bool operator==(const Type&) const = default;
};

// ---- Operations ----

// How an operation is carried out; the runtime has one way for each kind.
enum class Kind {
  source,       // no inputs: input, variable, constant, fill, size, iota
  elementwise,  // one tile instruction of the same name, NumPy broadcasting
  row,          // along the last axis: softmax, log_softmax, logsumexp, argmax, argmin
  reduce,       // sum, max, min over `axes`
  view,         // another look at the same elements: reshape, transpose, broadcast_to, slice
  move,         // copies elements: concatenate, pad, take, scatter_add, contiguous
  matmul,
  outer,  // products of the elements of two rows: row_outer, row_outer_upper
  random,
  host,    // computed by a function of the host language
  mode,    // resolved before a program is planned: in_training, update_state, stop_gradient
  effect,  // writes variables: assign, rule_update, rule_constants
};

const char* name_of(Kind kind);

struct Op {
  std::string name;
  Kind kind;
  int arity;  // -1: any number
  // The type of the result; throws ValueError or TypeError where the inputs do not fit.
  Type (*infer)(const Op& op, const Tensors& inputs, const Attrs& attrs);
  // dL/d(input i) from y and dL/dy, as nodes. Null where there is no gradient.
  Tensor (*gradient)(const Tensor& y, const Tensor& dy, int i) = nullptr;
};

// An operation that passes no gradient on, said in so many words.
constexpr auto kNoGradient = nullptr;

const Op& find_op(const std::string& name);  // throws ValueError with the nearest name
void register_op(Op op);
std::vector<std::string> op_names();

// ---- Nodes ----

// Something of the caller's that nodes carry (the layer call that made them).
struct Scope {
  virtual ~Scope() = default;
  virtual std::string label() const { return {}; }  // for errors
};
using ScopeRef = std::shared_ptr<const Scope>;

struct Node : std::enable_shared_from_this<Node> {
  const Op* op;
  Tensors inputs;
  Attrs attrs;
  Type type;
  ScopeRef scope;
  uint64_t serial;       // order of birth
  bool literal = false;  // a number that a rule wrote, of which nobody has a handle to ask for its gradient

  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node();

  const Shape& shape() const { return type.shape; }
  DType dtype() const { return type.dtype; }
  bool is(const char* name) const { return op->name == name; }
};

inline const std::shared_ptr<Variable>& variable_of(const Node& node) {
  return node.attrs.get<std::shared_ptr<Variable>>("variable");
}

// No node has this serial or a greater one yet.
uint64_t next_serial();

// Makes a node. The one way in for every operation.
Tensor make(const Op& op, Tensors inputs, Attrs attrs = {});
Tensor make(const std::string& op, Tensors inputs, Attrs attrs = {});

// Nodes made while a ScopeGuard lives carry its scope.
class ScopeGuard {
 public:
  explicit ScopeGuard(ScopeRef scope);
  ~ScopeGuard();

 private:
  ScopeRef previous_;
};

// The nodes that `roots` need, inputs before their users.
std::vector<const Node*> topological(const Tensors& roots);

// The node whose memory a tensor's elements lie in: views lead to what they look at.
const Node* memory_of(const Node* node);

// An operation's name and the shapes of its inputs, which errors begin with: "[matmul] (2, 3), (4, 5)".
struct Described {
  const Op& op;
  const Tensors& inputs;
};
inline Described describe(const Op& op, const Tensors& inputs) { return {op, inputs}; }
std::ostream& operator<<(std::ostream& out, const Described& call);

}  // namespace lamina::graph
