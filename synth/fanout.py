"""Buffer trees for nets with many sinks, in a mapped netlist (the JSON of yosys).

abc maps one module at a time and lets a flop drive a thousand gates; ideal wires then show tens of
nanoseconds on an enable that any placer would buffer. Modules are treated children first, so that a
net's load counts the gates behind the ports of kept modules.
"""


def insert(netlist, library, limit, clock, memory_load=4):
  """Adds buffers until no net but the clock drives more than `limit` pins; returns their number.

  A memory's input counts as memory_load pins. Each input of a module is left with at most `limit`
  pins behind it, so a sink never weighs more than the limit and grouping always succeeds.
  """
  modules = netlist['modules']
  loads = {}
  count = 0

  def port_loads(kind):
    """Port -> load of each bit, for a module or a library cell."""
    if kind in modules:
      visit(kind)
      return loads[kind]
    return None

  def visit(name):
    nonlocal count
    if name in loads:
      return
    module = modules[name]
    if module['attributes'].get('blackbox'):
      loads[name] = {p: [memory_load] * len(d['bits']) for p, d in module['ports'].items()
                     if d['direction'] == 'input' and p != clock}
      return
    loads[name] = {}
    clock_bits = set(module['ports'].get(clock, {'bits': []})['bits'])
    sinks, next_bit = {}, 2
    for data in module['netnames'].values():
      next_bit = max([next_bit] + [b + 1 for b in data['bits'] if isinstance(b, int)])
    for cell in module['cells'].values():
      inside = port_loads(cell['type'])
      inputs = inside if inside is not None else library['cells'][cell['type']]['inputs']
      for pin, bits in cell['connections'].items():
        next_bit = max([next_bit] + [b + 1 for b in bits if isinstance(b, int)])
        if pin not in inputs:
          continue
        for index, bit in enumerate(bits):
          weight = inside[pin][index] if inside is not None else 1
          if isinstance(bit, int) and bit not in clock_bits and weight:
            sinks.setdefault(bit, []).append((weight, bits, index))
    number = 0
    totals = {}
    for bit, pins in sinks.items():
      while sum(p[0] for p in pins) > limit:
        groups, room = [], 0
        for pin in pins:
          if pin[0] > room:
            groups.append([])
            room = limit
          groups[-1].append(pin)
          room -= pin[0]
        pins = []
        for group in groups:
          source, target = [bit], [next_bit]
          for _, bits, index in group:
            bits[index] = next_bit
          next_bit += 1
          a, y = library['buffer_pins']
          module['cells'][f'fanout_{number}_buf'] = {
              'hide_name': 0, 'type': library['buffer'], 'parameters': {}, 'attributes': {},
              'port_directions': {a: 'input', y: 'output'},
              'connections': {a: source, y: target}}
          number += 1
          pins.append((1, source, 0))
      totals[bit] = sum(p[0] for p in pins)
    count += number
    loads[name] = {p: [totals.get(b, 0) for b in d['bits']] for p, d in module['ports'].items()
                   if d['direction'] == 'input' and p != clock}

  for name in list(modules):
    visit(name)
  return count
