set(DOCUMENTATION
  "A transform that is a neural deformation field (NePhi), conditioned on a latent code, with an approximate inverse."
)

itk_module(NePhi
  ENABLE_SHARED
  DEPENDS
    ITKTransform
    ITKIOTransformBase
  TEST_DEPENDS
    ITKTestKernel
    ITKGoogleTest
  DESCRIPTION "${DOCUMENTATION}"
  EXCLUDE_FROM_DEFAULT
)
