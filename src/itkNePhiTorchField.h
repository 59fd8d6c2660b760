/*=========================================================================
 *
 *  Licensed under the Apache License, Version 2.0 (the "License");
 *  you may not use this file except in compliance with the License.
 *  You may obtain a copy of the License at
 *
 *         https://www.apache.org/licenses/LICENSE-2.0.txt
 *
 *  Unless required by applicable law or agreed to in writing, software
 *  distributed under the License is distributed on an "AS IS" BASIS,
 *  WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
 *  See the License for the specific language governing permissions and
 *  limitations under the License.
 *
 *=========================================================================*/
#ifndef itkNePhiTorchField_h
#define itkNePhiTorchField_h

#include "itkNePhiField.h"

#include <dlfcn.h>

#include <memory>
#include <stdexcept>
#include <string>

namespace itk
{
/** \class NePhiTorch
 * \brief The part of torch's stable C interface that NePhiTorchField needs.
 *
 * It is found in the process at run time, where Python's torch was imported before; nothing is linked, and neither
 * Python nor its global lock is involved.
 *
 * \ingroup NePhi
 */
class NePhiTorch
{
public:
  using ErrorType = std::int32_t;

  /** A tensor that torch counts references of. */
  class Tensor
  {
  public:
    Tensor() = default;
    explicit Tensor(void * handle)
      : m_Handle(handle, [](void * owned) { NePhiTorch::Get().m_Delete(owned); })
    {}

    void *
    GetHandle() const
    {
      return m_Handle.get();
    }

  private:
    std::shared_ptr<void> m_Handle{};
  };

  using SizesType = std::vector<std::int64_t>;

  /** A kind of device, as torch numbers it, and the operators that are different on each. */
  struct DeviceType
  {
    std::int32_t Kind{};
    std::int32_t Index{};
    ErrorType (*AddProduct)(void *, void *, void *, void *, double, double){};
    ErrorType (*Add)(void *, void *, double, void **){};

    /** result = bias + input matrix, of shapes (N, outputs), (outputs) or (N, outputs), (N, inputs), (inputs,
     * outputs). */
    void
    AffineMap(const Tensor & result, const Tensor & bias, const Tensor & input, const Tensor & matrix) const
    {
      Check(AddProduct(result.GetHandle(), bias.GetHandle(), input.GetHandle(), matrix.GetHandle(), 1.0, 1.0),
            "addmm_out");
    }

    /** first + factor second. */
    Tensor
    Sum(const Tensor & first, const Tensor & second, double factor) const
    {
      void * handle = nullptr;
      Check(Add(first.GetHandle(), second.GetHandle(), factor, &handle), "add");
      return Tensor(handle);
    }
  };

  /** Throws if torch was not imported, or is too old. */
  static NePhiTorch &
  Get()
  {
    static NePhiTorch torch;
    return torch;
  }

  /** A view of numbers in the memory of the host. */
  template <typename TReal>
  Tensor
  View(const TReal * data, const SizesType & sizes)
  {
    const SizesType strides = Strides(sizes);
    void *          handle = nullptr;
    Check(m_FromBlob(const_cast<TReal *>(data),
                     static_cast<std::int64_t>(sizes.size()),
                     sizes.data(),
                     strides.data(),
                     0,
                     this->GetKind<TReal>(),
                     m_CPU,
                     0,
                     &handle,
                     m_Strided,
                     nullptr,
                     0),
          "create_tensor_from_blob");
    return Tensor(handle);
  }

  template <typename TReal>
  Tensor
  Empty(const SizesType & sizes, const DeviceType & device)
  {
    const SizesType strides = Strides(sizes);
    void *          handle = nullptr;
    Check(m_EmptyStrided(static_cast<std::int64_t>(sizes.size()),
                         sizes.data(),
                         strides.data(),
                         this->GetKind<TReal>(),
                         device.Kind,
                         device.Index,
                         &handle),
          "empty_strided");
    return Tensor(handle);
  }

  /** The same numbers in another layout. */
  Tensor
  AsStrided(const Tensor & tensor, const SizesType & sizes, const SizesType & strides)
  {
    void * handle = nullptr;
    Check(m_AsStrided(
            tensor.GetHandle(), static_cast<std::int64_t>(sizes.size()), sizes.data(), strides.data(), 0, &handle),
          "_reinterpret_tensor");
    return Tensor(handle);
  }

  /** Copies numbers, also from one device to another and from one precision to another. */
  void
  Copy(const Tensor & to, const Tensor & from)
  {
    Check(m_Copy(to.GetHandle(), from.GetHandle(), 0), "copy_");
  }

  /** Calls an operator of torch in its present version: the handles of its tensors, then its numbers. */
  template <typename... TArguments>
  Tensor
  Call(const char * name, const char * overload, const TArguments &... arguments)
  {
    std::uint64_t stack[] = { this->Pass(arguments)... };
    Check(m_Call(name, overload, stack), name);
    return Tensor(reinterpret_cast<void *>(stack[0]));
  }

  /** The device "cpu", "cuda" or "cuda:N". */
  DeviceType
  GetDevice(const std::string & name) const
  {
    const std::string kind = name.substr(0, name.find(':'));
    if (kind != "cpu" && kind != "cuda")
    {
      throw std::runtime_error("expected cpu, cuda or cuda:N as device of the torch backend, got " + name);
    }
    const auto * library = kind == "cpu" ? "libtorch_cpu.so" : "libtorch_cuda.so";
    void * const handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == nullptr)
    {
      throw std::runtime_error("expected a torch that works on " + kind + ", got one without " + library);
    }
    DeviceType device;
    device.Kind = kind == "cpu" ? m_CPU : m_CUDA;
    device.Index = kind.size() < name.size() ? std::stoi(name.substr(kind.size() + 1)) : 0;
    Find(handle, "aoti_torch_" + kind + "_addmm_out", device.AddProduct);
    Find(handle, "aoti_torch_" + kind + "_add_Tensor", device.Add);
    return device;
  }

private:
  NePhiTorch()
  {
    void * const library = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr)
    {
      throw std::runtime_error("expected torch to be imported before its backend is chosen, found no libtorch_cpu.so");
    }
    Find(library, "aoti_torch_delete_tensor_object", m_Delete);
    Find(library, "aoti_torch_new_tensor_handle", m_NewHandle);
    Find(library, "aoti_torch_create_tensor_from_blob_v2", m_FromBlob);
    Find(library, "aoti_torch_empty_strided", m_EmptyStrided);
    Find(library, "aoti_torch__reinterpret_tensor", m_AsStrided);
    Find(library, "aoti_torch_copy_", m_Copy);
    Find(library, "aoti_torch_call_dispatcher", m_Call);
    m_Float = FindNumber(library, "aoti_torch_dtype_float32");
    m_Double = FindNumber(library, "aoti_torch_dtype_float64");
    m_Strided = FindNumber(library, "aoti_torch_layout_strided");
    m_CPU = FindNumber(library, "aoti_torch_device_type_cpu");
    m_CUDA = FindNumber(library, "aoti_torch_device_type_cuda");
  }

  template <typename TFunction>
  static void
  Find(void * library, const std::string & name, TFunction & function)
  {
    function = reinterpret_cast<TFunction>(dlsym(library, name.c_str()));
    if (function == nullptr)
    {
      throw std::runtime_error("expected a torch with the function " + name + ", got an older one: update torch");
    }
  }

  static std::int32_t
  FindNumber(void * library, const std::string & name)
  {
    std::int32_t (*function)() = nullptr;
    Find(library, name, function);
    return function();
  }

  static void
  Check(ErrorType error, const char * what)
  {
    if (error != 0)
    {
      throw std::runtime_error(std::string("torch failed in ") + what +
                               "; it has written the reason to the standard error");
    }
  }

  static SizesType
  Strides(const SizesType & sizes)
  {
    SizesType strides(sizes.size(), 1);
    for (std::size_t n = sizes.size(); n-- > 1;)
    {
      strides[n - 1] = strides[n] * sizes[n];
    }
    return strides;
  }

  template <typename TReal>
  std::int32_t
  GetKind() const
  {
    return sizeof(TReal) == 4 ? m_Float : m_Double;
  }

  /** An operator takes its tensors over, so it gets references of its own. */
  std::uint64_t
  Pass(const Tensor & tensor)
  {
    void * handle = nullptr;
    Check(m_NewHandle(tensor.GetHandle(), &handle), "new_tensor_handle");
    return reinterpret_cast<std::uint64_t>(handle);
  }
  std::uint64_t
  Pass(std::int64_t number)
  {
    return static_cast<std::uint64_t>(number);
  }

  std::int32_t m_Float{};
  std::int32_t m_Double{};
  std::int32_t m_Strided{};
  std::int32_t m_CPU{};
  std::int32_t m_CUDA{};

  ErrorType (*m_Delete)(void *){};
  ErrorType (*m_NewHandle)(void *, void **){};
  ErrorType (*m_FromBlob)(void *,
                          std::int64_t,
                          const std::int64_t *,
                          const std::int64_t *,
                          std::int64_t,
                          std::int32_t,
                          std::int32_t,
                          std::int32_t,
                          void **,
                          std::int32_t,
                          const std::uint8_t *,
                          std::int64_t){};
  ErrorType (*m_EmptyStrided)(std::int64_t,
                              const std::int64_t *,
                              const std::int64_t *,
                              std::int32_t,
                              std::int32_t,
                              std::int32_t,
                              void **){};
  ErrorType (*m_AsStrided)(void *, std::int64_t, const std::int64_t *, const std::int64_t *, std::int64_t, void **){};
  ErrorType (*m_Copy)(void *, void *, std::int32_t){};
  ErrorType (*m_Call)(const char *, const char *, std::uint64_t *){};
};

/** \class NePhiTorchField
 * \brief Evaluates a neural deformation field with torch, on a processor or a GPU.
 *
 * The same network and the same precision as in NePhiField, without its splines, for large numbers of points.
 * Thread-safe.
 *
 * \ingroup NePhi
 */
template <unsigned int VDimension>
class NePhiTorchField
{
public:
  using LayoutType = NePhiFieldLayout<VDimension>;
  using CoordsType = std::array<double, VDimension>;

  /** device: "cpu", "cuda" or "cuda:N". Throws where torch cannot use it. */
  template <typename TSource>
  NePhiTorchField(const std::string & device,
                  const LayoutType &  layout,
                  const CoordsType &  extent,
                  const double *      frequencies,
                  const TSource *     weights,
                  const TSource *     globalCode,
                  const TSource *     localCode)
    : m_Device(m_Torch.GetDevice(device))
    , m_PointsTogether(device == "cpu" ? 4096 : 262144)
    , m_Layout(layout)
    , m_Extent(extent)
  {
    const std::size_t embedding = 2 * layout.Frequencies;

    // One product gives the phases of the sines and, a quarter of a turn further, of the cosines.
    std::vector<double> turns(VDimension * embedding);
    std::vector<double> quarters(embedding, 0.0);
    for (std::size_t f = 0; f < layout.Frequencies; ++f)
    {
      quarters[layout.Frequencies + f] = 0.25;
      for (unsigned int d = 0; d < VDimension; ++d)
      {
        turns[d * embedding + f] = frequencies[d * layout.Frequencies + f];
        turns[d * embedding + layout.Frequencies + f] = frequencies[d * layout.Frequencies + f];
      }
    }
    m_Turns = this->Upload(turns, { VDimension, Signed(embedding) });
    m_Quarters = this->Upload(quarters, { Signed(embedding) });
    m_TwoPi = this->Upload(std::vector<float>{ 6.283185307179586F }, { 1 });

    // [channel][k][j][i], as torch samples grids
    const std::size_t     channels = layout.LocalCodeChannels;
    const std::size_t     vertices = layout.GetLocalCodeSize() / channels;
    std::vector<float>    code(layout.GetLocalCodeSize());
    NePhiTorch::SizesType codeSizes{ 1, Signed(channels) };
    for (std::size_t n = 0; n < vertices; ++n)
    {
      for (std::size_t c = 0; c < channels; ++c)
      {
        code[c * vertices + n] = static_cast<float>(localCode[n * channels + c]);
      }
    }
    for (unsigned int d = VDimension; d-- > 0;)
    {
      codeSizes.push_back(Signed(layout.LocalCodeGrid[d]));
    }
    m_LocalCode = this->Upload(code, codeSizes);

    const auto        layers = layout.GetLayers();
    const std::size_t modulation = layout.GetModulationLayer();
    for (std::size_t n = 0; n < layers.size(); ++n)
    {
      auto & kind = n < modulation ? m_Synthesis : m_Modulation;
      kind.push_back(n == modulation ? this->Take(layers[n], weights, { channels, embedding }, globalCode)
                                     : this->Take(layers[n], weights, { layers[n].Inputs }));
    }
  }

  /** How many points are best evaluated together. */
  std::size_t
  GetPointsTogether() const
  {
    return m_PointsTogether;
  }

  /** As NePhiField::Evaluate(), without splines. */
  void
  Evaluate(std::size_t count, const double * coords, double * displacements) const
  {
    const std::int64_t n = Signed(count);
    const std::int64_t width = Signed(m_Layout.Width);
    const std::int64_t embeddingSize = 2 * Signed(m_Layout.Frequencies);
    const std::int64_t channels = Signed(m_Layout.LocalCodeChannels);

    std::vector<double> clamped(count * VDimension);
    std::vector<float>  positions(count * VDimension);
    for (std::size_t i = 0; i < count * VDimension; ++i)
    {
      const double extent = m_Extent[i % VDimension];
      clamped[i] = coords[i] > -extent ? (coords[i] < extent ? coords[i] : extent) : -extent;
      positions[i] = static_cast<float>(clamped[i] / extent);
    }

    Tensor       turns = this->template Empty<double>({ n, embeddingSize });
    const Tensor points = this->Upload(clamped, { n, VDimension });
    m_Device.AffineMap(turns, m_Quarters, points, m_Turns);
    turns = m_Device.Sum(turns, m_Torch.Call("aten::round", "", turns), -1.0);
    const Tensor embedding = this->template Empty<float>({ n, embeddingSize });
    m_Torch.Copy(embedding, turns);
    m_Torch.Call("aten::mul_", "Tensor", embedding, m_TwoPi);
    m_Torch.Call("aten::sin_", "", embedding);

    NePhiTorch::SizesType positionSizes(VDimension, 1);
    positionSizes.insert(positionSizes.begin() + 1, n);
    positionSizes.push_back(VDimension);
    const Tensor position = this->Upload(positions, positionSizes);
    // multilinear, clamped at the border, corners aligned
    const Tensor sampled = m_Torch.Call(
      "aten::grid_sampler", "", m_LocalCode, position, std::int64_t{ 0 }, std::int64_t{ 1 }, std::int64_t{ 1 });
    const Tensor local = m_Torch.AsStrided(sampled, { n, channels }, { 1, n });

    const Tensor firstGate = this->template Empty<float>({ n, width });
    m_Device.AffineMap(firstGate, m_Modulation[0].Bias, local, m_Modulation[0].Matrices[0]);
    m_Device.AffineMap(firstGate, firstGate, embedding, m_Modulation[0].Matrices[1]);
    m_Torch.Call("aten::sin_", "", firstGate);
    Tensor gate = firstGate;
    Tensor hidden = this->Sine(m_Synthesis[0], embedding, n);
    for (std::size_t k = 1; k <= m_Layout.Depth; ++k)
    {
      gate = m_Device.Sum(this->Sine(m_Modulation[k], gate, n), firstGate, 1.0);
      hidden = this->Sine(m_Synthesis[k], hidden, n);
      m_Torch.Call("aten::mul_", "Tensor", hidden, gate);
    }
    const LayerType & output = m_Synthesis.back();
    const Tensor      result = this->template Empty<float>({ n, VDimension });
    m_Device.AffineMap(result, output.Bias, hidden, output.Matrices[0]);
    m_Torch.Copy(m_Torch.View(displacements, { n, VDimension }), result);
  }

private:
  using Tensor = NePhiTorch::Tensor;

  /** An affine map of one or several inputs side by side, their matrices as (inputs, outputs). */
  struct LayerType
  {
    Tensor              Bias{};
    std::vector<Tensor> Matrices{};
  };

  static std::int64_t
  Signed(std::size_t size)
  {
    return static_cast<std::int64_t>(size);
  }

  template <typename TReal>
  Tensor
  Empty(const NePhiTorch::SizesType & sizes) const
  {
    return m_Torch.Empty<TReal>(sizes, m_Device);
  }

  template <typename TReal>
  Tensor
  Upload(const std::vector<TReal> & numbers, const NePhiTorch::SizesType & sizes) const
  {
    const Tensor tensor = this->template Empty<TReal>(sizes);
    m_Torch.Copy(tensor, m_Torch.View(numbers.data(), sizes));
    return tensor;
  }

  /** Takes scale (M [code, x, y ...] + b) as a map of x, y ... alone; the weights are those of the whole field. */
  template <typename TSource>
  LayerType
  Take(const NePhiFieldLayer &          layer,
       const TSource *                  weights,
       const std::vector<std::size_t> & inputs,
       const TSource *                  code = nullptr) const
  {
    weights += layer.Offset;
    const TSource * const bias = weights + layer.Outputs * layer.Inputs;
    const std::size_t     codeSize = code == nullptr ? 0 : m_Layout.GlobalCodeSize;
    std::vector<float>    folded(layer.Outputs);
    for (std::size_t o = 0; o < layer.Outputs; ++o)
    {
      double sum = bias[o];
      for (std::size_t i = 0; i < codeSize; ++i)
      {
        sum += static_cast<double>(weights[o * layer.Inputs + i]) * code[i];
      }
      folded[o] = static_cast<float>(layer.Scale * sum);
    }
    LayerType taken;
    taken.Bias = this->Upload(folded, { Signed(layer.Outputs) });
    std::size_t begin = codeSize;
    for (const std::size_t size : inputs)
    {
      std::vector<float> matrix(size * layer.Outputs);
      for (std::size_t i = 0; i < size; ++i)
      {
        for (std::size_t o = 0; o < layer.Outputs; ++o)
        {
          matrix[i * layer.Outputs + o] = static_cast<float>(layer.Scale * weights[o * layer.Inputs + begin + i]);
        }
      }
      taken.Matrices.push_back(this->Upload(matrix, { Signed(size), Signed(layer.Outputs) }));
      begin += size;
    }
    return taken;
  }

  /** The sines of a layer's outputs, as many as the field is wide. */
  Tensor
  Sine(const LayerType & layer, const Tensor & input, std::int64_t count) const
  {
    const Tensor result = this->template Empty<float>({ count, Signed(m_Layout.Width) });
    m_Device.AffineMap(result, layer.Bias, input, layer.Matrices[0]);
    m_Torch.Call("aten::sin_", "", result);
    return result;
  }

  NePhiTorch &           m_Torch{ NePhiTorch::Get() };
  NePhiTorch::DeviceType m_Device{};
  std::size_t            m_PointsTogether{};
  LayoutType             m_Layout{};
  CoordsType             m_Extent{};
  Tensor                 m_Turns{};
  Tensor                 m_Quarters{};
  Tensor                 m_TwoPi{};
  Tensor                 m_LocalCode{};
  std::vector<LayerType> m_Synthesis{};
  std::vector<LayerType> m_Modulation{};
};

} // namespace itk
#endif
